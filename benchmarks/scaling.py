#!/usr/bin/env python3
"""How the losses' cost grows with B, V and n·m: it should be linear, a slope of 1 on logarithmic axes.

    benchmarks/scaling.py                  (or: make benchmark-scaling)
    benchmarks/scaling.py --backends cpp --losses axe
    benchmarks/scaling.py --quick          tiny sizes, seconds: only to see that it runs

The losses are timed forward and backward from logits against B and V. Against n·m the dynamic programs are timed alone,
on windows [B, m, n+1] that are there already: in a whole loss they are lost beside the passes over V. A slope below 1
means that a fixed cost is shared by more work. Figures and plot are saved as results/benchmark_scaling.{json,svg}.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from benchmarks import malloc
from benchmarks.backends import choose_backends
from benchmarks.losses import LOSSES, step
from benchmarks.pivot import markdown
from benchmarks.problems import Shape, make_problem
from benchmarks.programs import programs
from nat_plugin.alignments.backends import BACKENDS
from nat_plugin.errors import UserError
from nat_plugin.files import write_json
from scripts.lib.cli import run_main, script_parser, shell
from scripts.lib.measuring.clock import add_clock, check_clock
from scripts.lib.measuring.machine import describe_in_words, describe_machine
from scripts.lib.measuring.timing import measure, slope
from scripts.lib.pages import replace_block

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "results" / "benchmark_scaling.json"
AXES = {"batch": "B", "vocabulary": "V", "cells": "n·m"}
Point = dict[str, Any]


@dataclass(frozen=True)
class Sweep:
    """What is varied, around a base.

    Attributes:
        base: B, n, m and V of the losses.
        batches, vocabularies: of the losses.
        lengths: n = m of the programs, by ``base.batch`` sentences.
    """

    base: Shape
    batches: tuple[int, ...]
    vocabularies: tuple[int, ...]
    lengths: tuple[int, ...]

    def shapes(self) -> list[tuple[str, Shape]]:
        """Axis and shape of each point of a loss."""
        by_batch = [("batch", replace(self.base, batch=size)) for size in self.batches]
        return by_batch + [("vocabulary", replace(self.base, vocabulary=size)) for size in self.vocabularies]


SWEEP = Sweep(Shape(16, 32, 32, 8000), (4, 8, 16, 32, 64), (4000, 8000, 16000, 32000, 64000), (16, 32, 64, 128, 256))
QUICK = Sweep(Shape(2, 4, 4, 40), (1, 2, 4), (20, 40, 80), (3, 5, 7))


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = script_parser(__doc__)
    ours = [name for name, loss in LOSSES.items() if loss.ours]
    parser.add_argument("--losses", nargs="+", choices=ours, default=("axe", "ctc", "oaxe", "cross_entropy"))
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, help="default: all that work on the device")
    parser.add_argument("--threads", type=int, default=1, help="default: 1")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--repetitions", type=int, default=15, help="most runs a point (default: 15)")
    parser.add_argument("--seconds", type=float, default=2.0, help="a point ends after these and 3 runs (default: 2)")
    add_clock(parser)
    parser.add_argument(
        "--malloc",
        choices=(*malloc.SETTINGS, "current"),
        default="keep",
        help="as for benchmarks/alignments.py (default: keep, so that page faults do not bend the lines)",
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, in this process; saved only with --output")
    parser.add_argument("--output", type=Path, help=f"default: {OUTPUT.relative_to(ROOT)}")
    parser.add_argument("--docs", type=Path, metavar="PAGE", help="put the table into this page's marked block")
    options = parser.parse_args(arguments)
    if options.quick:
        options.malloc, options.repetitions, options.seconds = "current", 2, 0.0
    elif options.output is None:
        options.output = OUTPUT
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    if options.repetitions < 1 or options.threads < 1:
        raise UserError("--threads and --repetitions must be at least 1.")
    options.backends = choose_backends(options.backends, options.device)
    if options.malloc == "current" or options.device == "cuda":
        torch.set_num_threads(options.threads)
        results = measure_here(options, QUICK if options.quick else SWEEP)
    else:
        same = ["--malloc", "current", "--losses", *options.losses, "--backends", *options.backends]
        same += ["--repetitions", str(options.repetitions), "--seconds", str(options.seconds)]
        same += ["--threads", str(options.threads), "--clock", check_clock(options)]
        results = malloc.run_under(options.malloc, "benchmarks.scaling", same, options.threads)
    results["command"] = shell(["benchmarks/scaling.py", *(sys.argv[1:] if arguments is None else arguments)])
    print("\n" + render(results))
    if options.output:
        write_json(options.output, results)
        print(f"\nsaved in {options.output}")
        plot(results, options.output.with_suffix(".svg"))
    if options.docs:
        replace_block(options.docs, "scaling", render(results))
        print(f"the table is in {options.docs}")


def measure_here(options: argparse.Namespace, sweep: Sweep) -> dict[str, Any]:
    """All points, in this process."""
    points = time_losses(options, sweep) + time_programs(options, sweep)
    return {
        "machine": describe_machine(options.device),
        "threads": options.threads,
        "clock": options.clock,
        "environment": malloc.current(),
        "base": str(sweep.base),
        "points": points,
        "slopes": slopes(points),
    }


def time_losses(options: argparse.Namespace, sweep: Sweep) -> list[Point]:
    """Forward and backward of each loss at each B and V."""
    points = []
    for axis, shape in sweep.shapes():
        for name in options.losses:
            loss = LOSSES[name]
            canvas = loss.shape(shape)
            assert canvas is not None  # the sweep is square
            problem = make_problem(canvas, options.device)
            for backend in options.backends:
                work = step(loss, problem, backend)
                points.append(point(options, axis, getattr(shape, axis), loss.title, backend, work))
    return points


def time_programs(options: argparse.Namespace, sweep: Sweep) -> list[Point]:
    """Each program alone at each n·m."""
    points = []
    for length in sweep.lengths:
        shape = replace(sweep.base, targets=length, slots=length)
        for backend in options.backends:
            for name, program in programs(shape, backend, options.device).items():
                cells = length * (length if name == "axe_paths" else 3 * length)
                points.append(point(options, "cells", cells, program.title, backend, program.run))
    return points


def point(options: argparse.Namespace, axis: str, size: int, title: str, backend: str, work: Any) -> Point:
    """Time one piece of work, and say so."""
    found = measure(
        work, repetitions=options.repetitions, budget=options.seconds, device=options.device, clock=check_clock(options)
    )
    print(f"{AXES[axis]} = {size}  {title}, {backend}: {found.median:.2f} ms", file=sys.stderr, flush=True)
    return {"axis": axis, "size": size, "title": title, "backend": backend, "ms": found.median}


def slopes(points: Sequence[Point]) -> list[dict[str, Any]]:
    """The exponent of each line of the plot."""
    lines: dict[tuple[str, str, str], list[Point]] = {}
    for each in points:
        lines.setdefault((each["axis"], each["title"], each["backend"]), []).append(each)
    return [
        {
            "axis": axis,
            "title": title,
            "backend": backend,
            "slope": slope([each["size"] for each in line], [each["ms"] for each in line]),
        }
        for (axis, title, backend), line in lines.items()
    ]


def render(results: dict[str, Any]) -> str:
    """The slopes, as Markdown."""
    body = [
        [row["title"], row["backend"], AXES[row["axis"]], *_ends(results["points"], row), f"{row['slope']:.2f}"]
        for row in results["slopes"]
    ]
    headers = ["what", "backend", "against", "smallest", "ms there", "largest", "ms there", "slope"]
    table = markdown(body, headers, left=3)
    return f"{describe_in_words(results)}; `{results['command']}`\n\n{table}"


def plot(results: dict[str, Any], picture: Path) -> None:
    """Draw it, or say what is missing for that."""
    try:
        from benchmarks.plots import plot_scaling
    except ImportError as error:
        print(f"not plotted ({error}): pip install -c constraints.txt matplotlib.", file=sys.stderr)
        return
    plot_scaling(results["points"], AXES, picture)
    print(f"plotted in {picture}")


def _ends(points: Sequence[Point], line: dict[str, Any]) -> list[str]:
    ours = [each for each in points if all(each[key] == line[key] for key in ("axis", "title", "backend"))]
    ours.sort(key=lambda each: float(each["size"]))
    return [text for each in (ours[0], ours[-1]) for text in (str(each["size"]), f"{each['ms']:.2f}")]


if __name__ == "__main__":
    run_main(main)
