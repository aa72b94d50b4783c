#!/usr/bin/env python3
"""The losses of nat_plugin.alignments against fairseq's cross entropy: time, memory, Viterbi; and what CUDA adds.

    benchmarks/alignments.py                       everything, one thread (or: make benchmark-alignments)
    benchmarks/alignments.py --docs docs/alignments.md   and the tables into that page
    benchmarks/alignments.py --losses axe ctc --backends cpp --shapes 32,30,30 --vocabularies 8000
    benchmarks/alignments.py --device cuda
    benchmarks/alignments.py --quick               tiny shapes, seconds: only to see that it runs

Every time is measured in turn with the baseline's on the same logits (A B A B …), and the median of the ratios counts.
The tables are printed and saved, with all figures, machine, versions and settings, in
results/benchmark_alignments.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from benchmarks import malloc, on_cuda
from benchmarks.backends import choose_backends
from benchmarks.losses import LABEL_SMOOTHING, LOSSES
from benchmarks.problems import Shape, parse_shape
from benchmarks.ratios import Plan, time_losses, time_viterbi, weigh_losses
from benchmarks.report import Results, render
from nat_plugin.alignments.backends import BACKENDS
from nat_plugin.errors import UserError
from nat_plugin.files import write_json
from scripts.lib.cli import run_main, script_parser, shell
from scripts.lib.measuring.clock import add_clock, check_clock
from scripts.lib.measuring.machine import describe_machine
from scripts.lib.pages import replace_block

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "results" / "benchmark_alignments.json"
SHAPES = ("32,30,30", "64,64,64", "16,128,128")
VOCABULARIES = (8000, 32000)
PARTS = ("ratios", "viterbi", "memory", "cuda")
DTYPES = ("float32", "bfloat16", "float16")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--threads", type=int, default=1, help="of OpenMP and torch (default: 1, what the bars mean)")
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=list(LOSSES), help="default: all")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, help="default: all that work on the device")
    parser.add_argument("--shapes", nargs="+", metavar="B,n,m", default=SHAPES, help=f"default: {' '.join(SHAPES)}")
    parser.add_argument("--vocabularies", nargs="+", type=int, metavar="V", default=VOCABULARIES)
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of the logits (default: float32)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--repetitions", type=int, default=25, help="most pairs a case (default: 25)")
    parser.add_argument("--seconds", type=float, default=5.0, help="a case ends after these and 3 pairs (default: 5)")
    add_clock(parser)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (default: all)")
    parser.add_argument(
        "--malloc",
        nargs="+",
        choices=(*malloc.SETTINGS, "current"),
        default=malloc.MEASURED,
        help="settings of glibc that times are measured under, each in a process of its own (benchmarks/malloc.py says "
        "what they are; current: in this process, as it is). Default: default keep",
    )
    parser.add_argument(
        "--update", action="store_true", help="keep what --output holds, and measure only --parts of it again"
    )
    parser.add_argument("--quick", action="store_true", help="tiny shapes, in this process; saved only with --output")
    parser.add_argument("--output", type=Path, help=f"default: {OUTPUT.relative_to(ROOT)}")
    parser.add_argument("--docs", type=Path, metavar="PAGE", help="put the tables into this page's marked block")
    options = parser.parse_args(arguments)
    if options.quick:
        options.shapes, options.vocabularies, options.malloc = ["2,6,6"], [50], ["current"]
        options.repetitions, options.seconds = 2, 0.0
    elif options.output is None:
        options.output = OUTPUT
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    plan = make_plan(options)
    torch.set_num_threads(options.threads)
    command = shell(["benchmarks/alignments.py", *(sys.argv[1:] if arguments is None else arguments)])
    results: Results = {
        "command": command,
        "machine": describe_machine(options.device),
        "threads": options.threads,
        "clock": options.clock,
        "device": options.device,
        "dtype": options.dtype,
        "label_smoothing": LABEL_SMOOTHING,
        "baseline": LOSSES["fairseq_cross_entropy"].title,
        "times": [],
        "memory": [],
        "cuda": None,
    }
    if options.update:
        results = earlier_results(options.output, results)
    in_this_process = options.malloc == ["current"] or options.device == "cuda"
    if in_this_process:
        measure_here(results, plan, options.parts)
    else:
        measure_in_processes(results, options, plan)
    if options.output:
        write_json(options.output, results)
    print("\n" + render(results))
    if options.output:
        print(f"\nsaved in {options.output}")
    if options.docs:
        replace_block(options.docs, "alignments", render(results))
        print(f"the tables are in {options.docs}")


def earlier_results(output: Path | None, now: Results) -> Results:
    """What an earlier run has saved, to which this run's parts are added.

    Raises:
        UserError: there is none, or it was measured on something else.
    """
    try:
        earlier: Results = json.loads((output or OUTPUT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"--update has nothing to go on from ({error}): run once without it.") from error
    for key in ("threads", "clock", "device", "dtype", "label_smoothing"):
        if earlier[key] != now[key]:
            raise UserError(f"--update: {output} has {key} {earlier[key]}, and this run {now[key]}: use the same.")
    for key in ("cpu", "cores", "versions"):
        if earlier["machine"][key] != now["machine"][key]:
            raise UserError(f"--update: {output} was measured with another {key}: run everything again.")
    return earlier | {"command": f"{earlier['command']}; {now['command']}"}


def make_plan(options: argparse.Namespace) -> Plan:
    """What is to be measured.

    Raises:
        UserError: a wrong shape, no such device, or a backend that does not work on it.
    """
    if min(options.threads, options.repetitions) < 1:
        raise UserError("--threads and --repetitions must be at least 1.")
    shapes = [parse_shape(text, vocabulary) for vocabulary in options.vocabularies for text in options.shapes]
    backends = choose_backends(options.backends, options.device)
    return Plan(
        losses=options.losses,
        backends=backends,
        shapes=shapes,
        repetitions=options.repetitions,
        seconds=options.seconds,
        device=options.device,
        dtype=getattr(torch, options.dtype),
        clock=check_clock(options),
    )


def measure_here(results: Results, plan: Plan, parts: Sequence[str]) -> None:
    """Everything in this process, under the settings that it has."""
    timed = {"ratios": time_losses, "viterbi": time_viterbi}
    if any(part in parts for part in timed):
        times: dict[str, Any] = {"malloc": "current", "environment": malloc.current(), "load_average": {}}
        for part, measure_part in timed.items():
            times["load_average"] |= {part: os.getloadavg()[0]} if part in parts else {}
            times[part] = measure_part(plan, tell) if part in parts else []
        results["times"].append(times)
    if "memory" in parts:
        results["memory"] = weigh_losses(plan, tell)
    if "cuda" in parts and plan.device == "cuda":
        settings: dict[str, Any] = {"repetitions": plan.repetitions, "device": plan.device, "tell": tell}
        results["cuda"] = {
            "fused": on_cuda.time_fused(on_cuda.SHAPES, plan.backends, plan.dtype, seconds=plan.seconds, **settings),
            "programs": on_cuda.time_programs(program_shapes(plan), plan.backends, **settings),
        }


def measure_in_processes(results: Results, options: argparse.Namespace, plan: Plan) -> None:
    """Times under each setting of malloc, then memory under the one that makes it exact; saved after each process."""
    same = ["--device", options.device, "--dtype", options.dtype, "--threads", str(options.threads)]
    same += ["--malloc", "current", "--repetitions", str(options.repetitions), "--seconds", str(options.seconds)]
    same += [
        "--clock",
        options.clock,
        "--losses",
        *options.losses,
        "--backends",
        *plan.backends,
        "--shapes",
        *options.shapes,
    ]
    same += ["--vocabularies", *map(str, options.vocabularies)]
    timed = [part for part in options.parts if part in ("ratios", "viterbi")]
    for setting in options.malloc if timed else []:
        print(f"=== times, malloc setting {setting}", file=sys.stderr, flush=True)
        part = malloc.run_under(setting, "benchmarks.alignments", [*same, "--parts", *timed], options.threads)
        add_times(results["times"], part["times"][0] | {"malloc": setting}, timed)
        write_json(options.output, results)
    if "memory" in options.parts:
        print("=== memory", file=sys.stderr, flush=True)
        part = malloc.run_under("return", "benchmarks.alignments", [*same, "--parts", "memory"], options.threads)
        results["memory"] = part["memory"]


def add_times(times: list[dict[str, Any]], found: dict[str, Any], parts: Sequence[str]) -> None:
    """Put what was found in the place of an earlier run's with the same malloc setting, or at the end."""
    for earlier in times:
        if earlier["malloc"] == found["malloc"]:
            earlier.update({part: found[part] for part in parts})
            earlier["load_average"] = earlier.get("load_average", {}) | found["load_average"]
            return
    times.append(found)


def program_shapes(plan: Plan) -> list[Shape]:
    """Each (B, n, m) once: the programs do not see the vocabulary."""
    return list({(shape.batch, shape.targets, shape.slots): shape for shape in plan.shapes}.values())


def tell(line: str) -> None:
    """Progress."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_main(main)
