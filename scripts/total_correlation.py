#!/usr/bin/env python3
"""Estimate the conditional total correlation of a data set: what no NAT can learn of it (Huang et al. 2022, §2.3).

    scripts/total_correlation.py runs/multi30k_en_de/teacher_tiny runs/multi30k_en_de/vanilla_tiny
    scripts/total_correlation.py AT_RUN NAT_RUN --split test --output results/total_correlation.json

Both models give every target sentence of a split a probability, its length being known: the autoregressive one under
teacher forcing, the non-autoregressive one on a canvas that shows nothing. C is the difference, in bits a token, with
its standard error over sentences. Both are to be trained by maximum likelihood on the same data, with the same label
smoothing. Written is NAT_RUN/results/total_correlation_SPLIT.json, with a signature. What is counted:
docs/total_correlation.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from nat_plugin.analysis.total_correlation import TotalCorrelation, total_correlation
from nat_plugin.errors import UserError
from nat_plugin.files import write_json
from scripts.lib.analysis_options import check_json, check_least, read_own_rows
from scripts.lib.cli import run_main, script_parser, shell
from scripts.lib.correlation_report import caveats, correlation_table, signature
from scripts.lib.generation import default_threads, displayed_path
from scripts.lib.likelihood import LikelihoodReader
from scripts.lib.measuring.machine import versions
from scripts.lib.results import Row, update_rows
from scripts.lib.trained_model import TrainedModel


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: a number is out of range, or --output has another ending.
    """
    parser = script_parser(__doc__)
    parser.add_argument("at", type=Path, metavar="AT_RUN", help="run directory or checkpoint of the teacher's kind")
    parser.add_argument("nat", type=Path, metavar="NAT_RUN", help="the same of a vanilla NAT")
    parser.add_argument("--split", default="valid", help="the sentences that are read (default: valid)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="data directory (default: what trained the AT)")
    parser.add_argument("--sentences", type=int, metavar="N", help="read the first N of the split (default: all)")
    parser.add_argument("--max-tokens", type=int, default=4096, metavar="N", help="of a batch (default: 4096)")
    parser.add_argument("--name", help="what to call the pair in the results (default: the NAT's name)")
    parser.add_argument("--threads", type=int, help="processor threads (default: OMP_NUM_THREADS, else all processors)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="a .json to update with the row")
    options = parser.parse_args(arguments)
    check_least(options, {"sentences": 2, "max_tokens": 1, "threads": 1})
    check_json(options.output)
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    if options.output:
        # a file that cannot be updated is refused before the work, not after
        read_own_rows(options.output, "total_correlation")
    torch.set_num_threads(options.threads or default_threads())
    command = shell(["scripts/total_correlation.py", *(sys.argv[1:] if arguments is None else arguments)])
    at, nat = TrainedModel.load(options.at), TrainedModel.load(options.nat)
    data = options.data or at.data
    readers = {
        kind: LikelihoodReader(
            model.checkpoint(),
            data,
            options.split,
            max_tokens=options.max_tokens,
            device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
            sentences=options.sentences,
        )
        for kind, model in (("at", at), ("nat", nat))
    }
    check_pair(readers["at"], readers["nat"], options)
    row = measure(readers, at, nat, data, options) | {"command": command}
    suffix = f"_first{options.sentences}" if options.sentences else ""
    own = nat.run.folder / "results" / f"total_correlation_{options.split}{suffix}.json"
    write_json(own, [row])
    if options.output:
        update_rows(options.output, [row])
    print(correlation_table([row]))
    for caveat in row["caveats"]:
        print(f"note: {caveat}")
    print(f"{row['signature']}\nsaved in {displayed_path(own)}")


def check_pair(at: LikelihoodReader, nat: LikelihoodReader, options: argparse.Namespace) -> None:
    """Refuse models of the wrong kind, or whose tokens have other numbers.

    Raises:
        UserError: as said.
    """
    if not at.autoregressive or nat.autoregressive:
        raise UserError(
            f"the first run must be autoregressive and the second not, but {options.at} "
            f"{'is' if at.autoregressive else 'is not'} and {options.nat} {'is' if nat.autoregressive else 'is not'}."
        )
    if at.task.target_dictionary != nat.task.target_dictionary:
        raise UserError(
            f"{options.at} and {options.nat} have other target dictionaries, so that their tokens cannot be compared: "
            "train both on data that was binarised with the same one."
        )
    if at.count < 2:
        raise UserError(f"split '{options.split}' has one sentence, and a standard error needs two or more.")


def measure(
    readers: dict[str, LikelihoodReader],
    at: TrainedModel,
    nat: TrainedModel,
    data: Path,
    options: argparse.Namespace,
) -> Row:
    """C, and all that it depends on."""
    at_costs, lengths = readers["at"].read("autoregressive")
    nat_costs, _ = readers["nat"].read("non-autoregressive")
    found: TotalCorrelation = total_correlation(nat_costs, at_costs, lengths)
    row: Row = {
        "system": options.name or nat.name,
        "split": options.split,
        "total_correlation": found.per_token,
        "total_correlation_se": found.per_token_se,
        "unit": "bits a token",
        "total_correlation_per_sentence": found.per_sentence,
        "total_correlation_per_sentence_se": found.per_sentence_se,
        "nat_nll": found.nat_cost,
        "at_nll": found.at_cost,
        "sentences": found.sentences,
        "tokens": found.tokens,
        "data": displayed_path(data),
        "at": at.name,
        "at_checkpoint": displayed_path(at.checkpoint()),
        "nat_checkpoint": displayed_path(nat.checkpoint()),
        "nat_method": nat.method,
        "caveats": caveats(readers["at"].saved, readers["nat"].saved, (at.data, nat.data)),
    }
    return row | {"signature": signature(row, versions())}


if __name__ == "__main__":
    run_main(main)
