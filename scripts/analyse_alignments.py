#!/usr/bin/env python3
"""Show how a criterion aligns a model's predictions with the targets: §5 and Figures 1 and 3 of Haviv et al. 2021.

    scripts/analyse_alignments.py runs/multi30k_de_en/at_axe_tiny
    scripts/analyse_alignments.py RUN OTHER_RUN --output results/alignments.json
    scripts/analyse_alignments.py RUN --criterion axe --skip-target-penalty 3 --sentences 1,5,12

Teacher forcing is as in validation. For autoregressive models (axe, causal_axe, ctc_ar) and for others (nat_axe,
nat_ctc): how many alignments are trivial, shares of the operators and what the predictions give what they are held
against, the most frequent patterns, the probability of the last prediction where it is used twice, and a few sentences
as text and as a picture. A model trained with cross entropy is aligned by AXE. Written to RUN/results are
alignments_SPLIT.json, with a signature, .tsv, and of the sentences .examples.json, .examples.txt and .examples.svg.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write, write_json
from scripts.lib.alignments import figure, report, rows
from scripts.lib.alignments.reader import AlignmentReader, Example
from scripts.lib.analysis_options import analysis_parser, check_names, check_options, read_own_rows
from scripts.lib.cli import run_main, shell
from scripts.lib.generation import default_threads, displayed_path
from scripts.lib.measuring.machine import versions
from scripts.lib.pictures import load_pyplot
from scripts.lib.results import Row, update_rows
from scripts.lib.signatures import device_name
from scripts.lib.trained_model import TrainedModel


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: a number is out of range, or --output has another ending.
    """
    parser = analysis_parser(__doc__, split="valid", read_to="read", max_tokens=4096, written="")
    parser.add_argument(
        "--criterion",
        help="what aligns: axe, causal_axe or ctc_ar; nat_axe or nat_ctc (default: what the model was trained with)",
    )
    parser.add_argument("--skip-target-penalty", type=float, metavar="δ", help="AXE's (default: the training's, or 1)")
    parser.add_argument(
        "--sentences", type=_numbers, default=[1, 2, 3], metavar="N,…", help="which to show, from 1 (default: 1,2,3)"
    )
    options = parser.parse_args(arguments)
    check_options(options, {}, "the table gets its name")
    return options


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise UserError(f"--sentences {text} is no list of numbers: write for example --sentences 1,5,12.") from error


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    if options.output:
        read_own_rows(options.output, "patterns")  # a file that cannot be updated is refused before the work, not after
    if not options.no_plot:
        load_pyplot()
    torch.set_num_threads(options.threads or default_threads())
    command = shell(["scripts/analyse_alignments.py", *(sys.argv[1:] if arguments is None else arguments)])
    models = [TrainedModel.load(folder) for folder in options.runs]
    check_names(options, (model.name for model in models))
    found = [analyse(model, options, command) for model in models]
    if options.output:
        update_rows(options.output, found)
        found = read_own_rows(options.output, "patterns")
        save_table(found, options.output)
        print(f"all systems are in {options.output}")
    if len(found) > 1:
        print(report.comparison_table(found))


def analyse(model: TrainedModel, options: argparse.Namespace, command: str) -> Row:
    """Everything about one run: computed, printed, and saved in its folder.

    Raises:
        UserError: the run or its data cannot be used, or nothing aligns its predictions.
    """
    checkpoint = model.checkpoint(options.checkpoint)
    data = options.data or model.data
    other = bool(options.checkpoint) and checkpoint != model.checkpoint()
    not_the_runs = other or model.only_checkpoint is not None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    reader = AlignmentReader(
        checkpoint,
        data,
        options.split,
        max_tokens=options.max_tokens,
        device=device,
        criterion=options.criterion,
        skip_target_penalty=options.skip_target_penalty,
    )
    sentences, examples = rows.read_all(reader, [number - 1 for number in options.sentences])
    row = {
        "system": options.name or (f"{model.name} ({checkpoint.name})" if other else model.name),
        "split": options.split,
        "method": model.method,
        "data": displayed_path(data),
        "checkpoint": displayed_path(checkpoint),
        **rows.statistics_row(reader, sentences),
    }
    where = device_name(device)
    row |= {"signature": rows.signature(row, versions(()), device=where), "command": command}
    stem = "_".join(
        ["alignments", options.split, *filter(None, [options.criterion, checkpoint.stem if not_the_runs else None])]
    )
    output = model.run.folder / "results" / f"{stem}.json"
    write_json(output, [row])
    save_table([row], output)
    print(report.statistics_table(row))
    save_examples(examples, output, with_plot=not options.no_plot)
    print(f"\n{row['signature']}\nsaved in {displayed_path(output)}\n", flush=True)
    return row


def save_table(found: Sequence[Row], output: Path) -> None:
    """FILE.tsv beside ``output``, which is FILE.json."""
    with atomic_write(output.with_suffix(".tsv")) as handle:
        handle.write(report.tsv(found))


def save_examples(examples: Sequence[Example], output: Path, *, with_plot: bool) -> None:
    """FILE.examples.json, .txt and .svg of some sentences, which are also printed."""
    if not examples:
        return
    shown = "\n\n".join(report.example_text(example) for example in examples)
    print(f"\n{shown}")
    with atomic_write(output.with_suffix(".examples.txt")) as handle:
        handle.write(f"{shown}\n")
    write_json(output.with_suffix(".examples.json"), [rows.example_row(example) for example in examples])
    if with_plot:
        figure.plot_examples(examples, output.with_suffix(".examples.svg"))


if __name__ == "__main__":
    run_main(main)
