#!/usr/bin/env python3
"""Map log-likelihood and BLEU on the plane through three models: Figure 1 of Huang et al. 2022.

    scripts/loss_landscape.py INITIAL_RUN GLAT_RUN MLE_RUN
    scripts/loss_landscape.py RUN0 RUN1 RUN2 --range -0.25 1.25 --steps 7 --sentences 200 --names initial GLAT+KD MLE

The weights of a point are θ0 + a·(θ1 - θ0) + b·(θ2 - θ0); a checkpoint file may stand for a run. At each point of a
grid over a and b a split's log-likelihood is computed (gold length, a canvas that shows nothing of the target), and the
split is translated as the first run is. Written beside --output are .json, .tsv and a contour plot as .svg. What is
measured is kept in .points.json: the same command again goes on where it was stopped. See docs/loss_landscape.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from tqdm import tqdm

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write, write_json
from scripts.lib.analysis_options import check_json, check_least
from scripts.lib.cli import run_main, script_parser, shell
from scripts.lib.decoding_arguments import add_overrides, parse_overrides
from scripts.lib.evaluation import Evaluation
from scripts.lib.generation import default_threads, displayed_path
from scripts.lib.landscape import report
from scripts.lib.landscape.measuring import Landscape
from scripts.lib.measuring.machine import versions
from scripts.lib.pictures import load_pyplot
from scripts.lib.results import Row
from scripts.lib.signatures import device_name, one_line
from scripts.lib.starting import check_tokens


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: a number is out of range, or --output has another ending.
    """
    parser = script_parser(__doc__)
    parser.add_argument("runs", nargs=3, type=Path, metavar="RUN", help="run directories or checkpoints: θ0, θ1, θ2")
    parser.add_argument("--names", nargs=3, metavar="NAME", help="what to call them in table and plot")
    parser.add_argument(
        "--range", nargs=2, type=float, default=(-0.5, 1.5), metavar=("LOW", "HIGH"),
        help="of both a and b (default: -0.5 1.5)",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, default=9, metavar="N", help="points along either (default: 9)")
    parser.add_argument("--split", default="valid", help="which part of the data to use (default: valid)")
    parser.add_argument("--sentences", type=int, metavar="N", help="take the first N of the split (default: all)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="data directory (default: the first run's own)")
    add_overrides(parser, "decoding flags that win over the first run's")
    parser.add_argument("--max-tokens", type=int, default=4096, metavar="N", help="of a batch (default: 4096)")
    parser.add_argument("--threads", type=int, help="processor threads (default: OMP_NUM_THREADS, else all processors)")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="a .json (default: RUN0/results/landscape_SPLIT_RUN1_RUN2.json)"
    )
    parser.add_argument("--no-plot", action="store_true", help="do without the plot, and so without matplotlib")
    options = parser.parse_args(arguments)
    options.overrides = parse_overrides(options.overrides)
    check_least(options, {"steps": 2, "sentences": 1, "max_tokens": 1, "threads": 1})
    low, high = options.range
    if not -float("inf") < low < high < float("inf"):
        raise UserError(f"--range {low:g} {high:g} is no range: give two finite numbers, the smaller one first.")
    check_json(options.output, "table and plot get their names")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    if not options.no_plot:
        load_pyplot()
    torch.set_num_threads(options.threads or default_threads())
    command = shell(["scripts/loss_landscape.py", *(sys.argv[1:] if arguments is None else arguments)])
    evaluations = plan(options)
    output = options.output or default_output(evaluations, options.sentences)
    landscape = Landscape(
        evaluations,
        output.with_suffix(".points.json"),
        sentences=options.sentences,
        max_tokens=options.max_tokens,
    )
    row = measure(landscape, evaluations, options) | {"command": command}
    write_json(output, [row])
    with atomic_write(output.with_suffix(".tsv")) as handle:
        handle.write(report.tsv(row))
    if not options.no_plot:
        report.plot(row, output.with_suffix(".svg"))
    print(f"{report.corner_table(row)}\n{row['signature']}\nsaved in {displayed_path(output.with_suffix(''))}.*")


def plan(options: argparse.Namespace) -> list[Evaluation]:
    """The three models, checked to read and write the same tokens.

    Raises:
        UserError: they do not, or one cannot be used.
    """
    data = options.data
    evaluations: list[Evaluation] = []
    for folder in options.runs:
        evaluations.append(Evaluation.plan(folder, split=options.split, data=data, overrides=options.overrides))
        data = evaluations[0].data.folder
    first = evaluations[0].data
    for each in evaluations:
        check_tokens(str(each.checkpoint), each.checkpoint, data, (first.source_lang, first.target_lang))
    return evaluations


def default_output(evaluations: Sequence[Evaluation], sentences: int | None) -> Path:
    """In the results of the first run, named after the others."""
    first, *others = evaluations
    names = [each.checkpoint.parent.parent.resolve().name for each in others]
    suffix = f"_first{sentences}" if sentences else ""
    return first.model.run.folder / "results" / f"landscape_{'_'.join([first.stem, *names])}{suffix}.json"


def measure(landscape: Landscape, evaluations: Sequence[Evaluation], options: argparse.Namespace) -> Row:
    """The three models and every point of the grid."""
    low, high = options.range
    steps = [round(low + (high - low) * step / (options.steps - 1), 9) for step in range(options.steps)]
    places = [*report.CORNERS, *((a, b) for b in steps for a in steps)]
    first, translator = evaluations[0], landscape.translator
    points = [landscape.point(a, b) for a, b in tqdm(places, desc="landscape", unit=" points", disable=None)]
    return {
        "system": first.system,
        "models": options.names or [each.model.name for each in evaluations],
        "checkpoints": [displayed_path(each.checkpoint) for each in evaluations],
        "distances": landscape.plane.distances,
        "cosine": landscape.plane.cosine,
        "split": first.split,
        "sentences": translator.sentences,
        "data": displayed_path(first.data.folder),
        "decoding": first.flags,
        "grid": steps,
        "corners": points[:3],
        "points": points[3:],
        "signature": signature(first, translator.sentences, translator.device),
    }


def signature(evaluation: Evaluation, sentences: int, device: str) -> str:
    """What the figures depend on beside checkpoints and data, in one line."""
    parts = {
        "log-likelihood": "log2 P a token, gold length, over words alone (no end marker), fully masked",
        "split": evaluation.split,
        "sentences": sentences,
        "bleu": f"sacreBLEU, {evaluation.tokenizer}",
        "device": device_name(device),
        **versions(("sacrebleu",)),
    }
    return one_line(parts)


if __name__ == "__main__":
    run_main(main)
