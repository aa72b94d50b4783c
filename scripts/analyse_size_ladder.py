#!/usr/bin/env python3
"""Find how small an autoregressive model may be to translate as well as a NAT: Table 5 of Huang et al. 2022.

    scripts/analyse_size_ladder.py NAT_RUN --ladder AT_RUN AT_RUN…
    scripts/analyse_size_ladder.py NAT_RUN --ladder runs/DATA/teacher_ladder_* --split valid --output ladder.json

The autoregressive models are those of configs/size/ladder_*.yaml (Table 6), or any others of different sizes, trained
on the NAT's data. Each translates the split; what is reported is between which two of them the NAT's BLEU lies, and
their parameters as shares of the NAT's. Written is NAT_RUN/results/ladder_SPLIT.json; what is measured is kept in
ladder_SPLIT.points.json, so that the same command again, or one with more models, goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from tabulate import tabulate

from nat_plugin.analysis.size_ladder import Rung, bracket
from nat_plugin.errors import UserError
from nat_plugin.files import write_json
from nat_plugin.model_kinds import is_autoregressive
from scripts.lib.analysis_options import check_json, check_least, read_own_rows
from scripts.lib.cli import run_main, script_parser, shell
from scripts.lib.evaluation import Evaluation
from scripts.lib.generation import default_threads, displayed_path
from scripts.lib.in_process import SplitTranslator
from scripts.lib.measuring.machine import versions
from scripts.lib.points import PointStore, file_state
from scripts.lib.results import Row, update_rows
from scripts.lib.signatures import device_name, one_line


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: a number is out of range, or --output has another ending.
    """
    parser = script_parser(__doc__)
    parser.add_argument("nat", type=Path, metavar="NAT_RUN", help="run directory or checkpoint of the NAT")
    parser.add_argument(
        "--ladder", nargs="+", type=Path, required=True, metavar="AT_RUN", help="the same of autoregressive models"
    )
    parser.add_argument("--split", default="test", help="which part of the data to translate (default: test)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="data directory (default: each run's own)")
    parser.add_argument("--sentences", type=int, metavar="N", help="translate the first N (default: all)")
    parser.add_argument("--threads", type=int, help="processor threads (default: OMP_NUM_THREADS, else all processors)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="a .json to update with the row")
    options = parser.parse_args(arguments)
    check_least(options, {"sentences": 1, "threads": 1})
    check_json(options.output)
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    if options.output:
        # a file that cannot be updated is refused before the work, not after
        read_own_rows(options.output, "ladder", "ratio")
    torch.set_num_threads(options.threads or default_threads())
    command = shell(["scripts/analyse_size_ladder.py", *(sys.argv[1:] if arguments is None else arguments)])
    nat, *ladder = (
        Evaluation.plan(folder, split=options.split, data=options.data) for folder in (options.nat, *options.ladder)
    )
    for each in ladder:
        if each.references != nat.references:
            raise UserError(f"{each.system} has other references than {nat.system}: give both the same --data.")
    suffix = f"_first{options.sentences}" if options.sentences else ""
    own = nat.model.run.folder / "results" / f"ladder_{nat.stem}{suffix}.json"
    store = PointStore(own.with_suffix(".points.json"), {"split": options.split, "sentences": options.sentences})
    systems = [measure(each, options.sentences, store) for each in (nat, *ladder)]
    row = make_row(systems[0], systems[1:]) | {
        "split": options.split,
        "data": displayed_path(nat.data.folder),
        "signature": signature(nat, systems[0]["sentences"]),
        "command": command,
    }
    write_json(own, [row])
    if options.output:
        update_rows(options.output, [row])
    print(f"{ladder_table(row)}\n{sentence(row)}\n{row['signature']}\nsaved in {displayed_path(own)}")


def measure(evaluation: Evaluation, sentences: int | None, store: PointStore) -> Row:
    """One model's size and scores."""
    checkpoint = evaluation.checkpoint
    name = f"{displayed_path(checkpoint)} {file_state(checkpoint)} {displayed_path(evaluation.data.folder)}"
    return store.get(f"{name} {evaluation.flags}", lambda: _translate(evaluation, sentences))


def _translate(evaluation: Evaluation, sentences: int | None) -> dict[str, Any]:
    print(f"translating {evaluation.split} with {displayed_path(evaluation.checkpoint)}", file=sys.stderr, flush=True)
    translator = SplitTranslator(evaluation, sentences=sentences)
    found = {
        "system": evaluation.system,
        "autoregressive": is_autoregressive(translator.model),
        "parameters": translator.translator.parameters,
        "checkpoint": displayed_path(evaluation.checkpoint),
        "decoding": evaluation.flags,
        "sentences": translator.sentences,
        **translator.scores(),
    }
    translator.translator.close()
    return found


def make_row(nat: Row, ladder: Sequence[Row]) -> Row:
    """Where the NAT stands on the ladder.

    Raises:
        UserError: a model of the ladder is a NAT, the NAT is none, or two of the ladder's models are of one size.
    """
    wrong = [each["system"] for each in ladder if not each["autoregressive"]]
    if wrong or nat["autoregressive"]:
        what = f"{wrong[0]} is not" if wrong else f"{nat['system']} is"
        raise UserError(f"the ladder is of autoregressive models and the first run is none, but {what}: see --help.")
    ordered = sorted(ladder, key=lambda each: int(each["parameters"]))
    for smaller, larger in itertools.pairwise(ordered):
        if smaller["parameters"] == larger["parameters"]:
            raise UserError(
                f"{smaller['system']} and {larger['system']} have both {larger['parameters']} parameters: name one of "
                "each size."
            )
    found = bracket([Rung(each["parameters"], each["bleu"]) for each in ordered], nat["bleu"])
    rungs = (found.below, found.above)
    return {
        **{key: nat[key] for key in ("system", "parameters", "bleu", "sentences", "checkpoint", "decoding")},
        "ladder": ordered,
        "ratio": [rung.parameters / nat["parameters"] if rung else None for rung in rungs],
        "ladder_bleu": [rung.bleu if rung else None for rung in rungs],
        "monotone": found.monotone,
    }


def ladder_table(row: Row) -> str:
    """A line a model, by size, the NAT last."""
    body = []
    for each in [*row["ladder"], row]:
        size, share = f"{each['parameters'] / 1e6:.2f}", f"{each['parameters'] / row['parameters']:.1%}"
        body.append([each["system"], size, share, f"{each['bleu']:.2f}"])
    headers = ["system", "parameters, M", "of the NAT's", "BLEU"]
    return tabulate(body, headers, colalign=("left", *("right",) * 3), disable_numparse=True)


def sentence(row: Row) -> str:
    """The result in words, as Table 5 has it in numbers."""
    (low, high), (worse, better) = row["ratio"], row["ladder_bleu"]
    if low is None:
        said = f"the smallest model, of {high:.1%} of the parameters, is as good already ({better:.2f} BLEU)"
    elif high is None:
        said = f"the largest model, of {low:.1%} of the parameters, is not as good ({worse:.2f} BLEU)"
    else:
        said = f"an autoregressive model needs {low:.1%} to {high:.1%} of the parameters ({worse:.2f} to {better:.2f})"
    order = (
        "" if row["monotone"] else "; a larger model is not always better here, so that this is the lowest such place"
    )
    return f"{row['bleu']:.2f} BLEU: {said}{order}"


def signature(evaluation: Evaluation, sentences: int) -> str:
    """What the figures depend on beside checkpoints and data, in one line."""
    parts = {
        "parameters": "all, shared ones once",
        "split": evaluation.split,
        "sentences": sentences,
        "bleu": f"sacreBLEU, {evaluation.tokenizer}",
        "device": device_name("cuda" if torch.cuda.is_available() else "cpu"),
        **versions(("sacrebleu",)),
    }
    return one_line(parts)


if __name__ == "__main__":
    run_main(main)
