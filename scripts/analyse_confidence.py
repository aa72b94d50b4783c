#!/usr/bin/env python3
"""Show how sure models are of the positions of their tokens: Figure 3 of Ghazvininejad et al. 2020.

    scripts/analyse_confidence.py runs/multi30k_en_de_kd/cmlm_ce_tiny runs/multi30k_en_de_kd/cmlm_axe_tiny \\
        --output results/confidence.json
    scripts/analyse_confidence.py RUN --split valid --buckets 10 20 30 --distance 5

One pass over masked slots, on a canvas of the length that the model predicts itself (× λ, where the run was tuned to
one). Of the token that each slot says, the probability in that slot and in those around it, for short, middle and long
sentences; and the probability and the entropy by the place in the sentence. Written to RUN/results are
confidence_SPLIT.json, with a signature, the numbers of the plot as .tsv and the plot as .svg.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from nat_plugin.files import atomic_write, write_json
from scripts.lib.analysed_runs import plan_runs
from scripts.lib.analysis_options import analysis_parser, check_options, read_own_rows
from scripts.lib.canvases import plain_canvas
from scripts.lib.cli import run_main, shell
from scripts.lib.comparison import check_edges
from scripts.lib.confidence import figure, report
from scripts.lib.confidence.measuring import measure_confidence
from scripts.lib.evaluation import Evaluation
from scripts.lib.generation import default_threads, displayed_path
from scripts.lib.in_process import SplitTranslator
from scripts.lib.measuring.machine import versions
from scripts.lib.pictures import load_pyplot
from scripts.lib.results import Row, update_rows
from scripts.lib.signatures import device_name, one_line

BUCKETS = (10, 31)  # the paper's: fewer than 10 tokens, more than 30


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: a number is out of range, or --output has another ending.
    """
    parser = analysis_parser(
        __doc__, split="test", read_to="read", max_tokens=2048, written=", with numbers and plot beside it"
    )
    parser.add_argument(
        "--buckets", nargs="+", type=int, default=BUCKETS, metavar="N",
        help="tokens of the reference at which a bucket begins (default: 10 31)",
    )  # fmt: skip
    parser.add_argument("--distance", type=int, default=3, metavar="N", help="slots to each side (default: 3)")
    parser.add_argument("--places", type=int, default=10, metavar="N", help="parts of a sentence (default: 10)")
    parser.add_argument("--sentences", type=int, metavar="N", help="take the first N of the split (default: all)")
    options = parser.parse_args(arguments)
    check_options(options, {"distance": 1, "places": 1, "sentences": 1}, "table and plot get their names")
    check_edges(options.buckets)
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    if options.output:
        read_own_rows(options.output, "buckets")  # a file that cannot be updated is refused before the work, not after
    if not options.no_plot:
        load_pyplot()
    torch.set_num_threads(options.threads or default_threads())
    command = shell(["scripts/analyse_confidence.py", *(sys.argv[1:] if arguments is None else arguments)])
    for evaluation in plan_runs(options):
        row = analyse(evaluation, options, command)
        if options.output:
            update_rows(options.output, [row])
    if options.output:
        save(read_own_rows(options.output, "buckets"), options.output, with_plot=not options.no_plot)
        print(f"all systems are in {options.output}")


def analyse(evaluation: Evaluation, options: argparse.Namespace, command: str) -> Row:
    """Everything about one system: measured, printed, and saved in its folder.

    Raises:
        UserError: the system cannot be used, or has no canvas.
    """
    evaluation = plain_canvas(evaluation)
    translator = SplitTranslator(evaluation, sentences=options.sentences, max_tokens=options.max_tokens)
    row: Row = {
        "system": evaluation.system,
        "split": evaluation.split,
        "sentences": translator.sentences,
        "method": evaluation.model.method,
        "data": displayed_path(evaluation.data.folder),
        "checkpoint": displayed_path(evaluation.checkpoint),
        "decoding": evaluation.flags,
        "buckets": measure_confidence(translator, options.buckets, distance=options.distance, places=options.places),
    }
    row |= {"signature": signature(row, translator), "command": command}
    stem = f"confidence_{evaluation.stem}{f'_first{options.sentences}' if options.sentences else ''}"
    output = evaluation.model.run.folder / "results" / f"{stem}.json"
    write_json(output, [row])
    save([row], output, with_plot=not options.no_plot)
    print(f"{report.confidence_table(row)}\n{row['signature']}\nsaved in {displayed_path(output)}\n", flush=True)
    return row


def signature(row: Row, translator: SplitTranslator) -> str:
    """What the figures depend on beside checkpoint and data, in one line."""
    parts = {
        "canvas": "one pass, all slots masked, " + ("s × source" if translator.model.upsamples else "predicted length"),
        "λ": None if translator.model.upsamples else row["decoding"].get("length_multiplier") or 1.0,
        "of": "slots that do not say blank",
        "buckets": "by tokens of the reference",
        "split": row["split"],
        "sentences": row["sentences"],
        "dtype": translator.translator.dtype,
        "device": device_name(translator.device),
        **versions(()),
    }
    return one_line(parts)


def save(found: Sequence[Row], output: Path, *, with_plot: bool) -> None:
    """FILE.tsv and FILE.svg beside ``output``, which is FILE.json."""
    with atomic_write(output.with_suffix(".tsv")) as handle:
        handle.write(report.tsv(found))
    if with_plot:
        figure.plot_confidence(found, output.with_suffix(".svg"))


if __name__ == "__main__":
    run_main(main)
