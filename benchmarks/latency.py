#!/usr/bin/env python3
"""One pass against autoregressive translation, with random weights in the shapes of transformer-base.

    benchmarks/latency.py                        L1 and Lmax on a CPU (or: make benchmark-latency)
    benchmarks/latency.py --device cuda --fp16 --sentences 8192
    benchmarks/latency.py --quick                a tiny model, seconds: only to see that it runs

Sources have --length tokens, and the autoregressive models are held to translations of exactly as many. L1 is the time
of one sentence alone, Lmax that of a sentence in batches as large as the GPU takes, on a CPU as large as is fastest
(Gu & Kong 2021, Table 6, with its upsampling ratios). Systems take turns, and the medians of ratios count. Figures and
the bars they are held against are saved in results/benchmark_latency.json; scripts/benchmark_latency.py measures
trained models.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from benchmarks import bars
from benchmarks.inference import BASE, RandomSystem, Task, Width, autoregressive, one_pass
from benchmarks.inference_options import ROOT, inference_parser, settle
from benchmarks.latency_report import render
from nat_plugin.errors import UserError
from nat_plugin.files import write_json
from nat_plugin.processors import cores
from scripts.lib.cli import run_main, shell
from scripts.lib.latency.one_by_one import measure_one_by_one, warm_up
from scripts.lib.latency.rows import one_by_one_figures, throughput_figures
from scripts.lib.latency.throughput import measure_throughput
from scripts.lib.measuring.clock import check_clock
from scripts.lib.measuring.machine import describe_machine
from scripts.lib.measuring.memory import available
from scripts.lib.pages import replace_block

OUTPUT = ROOT / "results" / "benchmark_latency.json"
RATIOS = (1.5, 2.0, 2.5, 3.0)
TINY = Width(32, 64, 2, 1)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: a number is out of range.
    """
    parser = inference_parser(__doc__, sentences=128, threads=cores(), output=OUTPUT)
    parser.add_argument("--parts", nargs="+", choices=("l1", "lmax"), default=["l1", "lmax"], help="default: both")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--fp16", action="store_true", help="half precision, on a GPU")
    options = parser.parse_args(arguments)
    settle(options, OUTPUT)
    if options.fp16 and options.device == "cpu":
        raise UserError("--fp16 is for a GPU: add --device cuda.")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda needs a CUDA GPU and none is visible here.")
    return options


def make_systems(options: argparse.Namespace) -> list[RandomSystem]:
    """The two baselines, the first for L1 and the second for Lmax, then one pass with as many slots as tokens and with
    more."""
    width = TINY if options.quick else BASE
    task = Task(options.vocabulary, options.length, options.sentences, options.device, options.fp16)
    deep = (2 * width.layers, 1)
    return [
        autoregressive(task, width, beam=5),
        autoregressive(task, width, beam=1, layers=deep),
        *(one_pass(task, width, scale) for scale in (0.0, *RATIOS)),
    ]


def measure_l1(systems: Sequence[RandomSystem], options: argparse.Namespace) -> list[dict[str, Any]]:
    """One sentence at a time, every system against the first."""
    sentences = [system.batches(1)[: options.block] for system in systems]
    with ExitStack() as stack:
        for system in systems:
            stack.enter_context(system.loaded())
        warm_up(systems, sentences, 1)
        found = measure_one_by_one(
            systems,
            sentences,
            repeats=options.repeats,
            block=options.block,
            device=options.device,
            clock=check_clock(options),
        )
    return [one_by_one_figures(one, found[0]) for one in found]


def measure_lmax(
    systems: Sequence[RandomSystem], options: argparse.Namespace, tell: Callable[[str], object]
) -> list[dict[str, Any]]:
    """Large batches, every system against the first of these: the second baseline is the faster one here."""
    free = available()
    found = measure_throughput(
        [system.loaded for system in systems],
        repeats=options.repeats,
        device=options.device,
        smallest=min(8, options.sentences),
        most_bytes=None if free is None else free // 2,
        clock=check_clock(options),
        tell=tell,
    )
    figures = [throughput_figures(one, found[0]) for one in found]
    return [{**row, "batch": f"{one.size} sentences"} for row, one in zip(figures, found, strict=True)]


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    check_clock(options)
    torch.set_num_threads(options.threads)
    systems = make_systems(options)
    results: dict[str, Any] = {
        "command": shell(["benchmarks/latency.py", *(sys.argv[1:] if arguments is None else arguments)]),
        "machine": describe_machine(options.device),
        "device": options.device,
        "dtype": "fp16" if options.fp16 else "fp32",
        "threads": options.threads,
        "clock": options.clock,
        "vocabulary": options.vocabulary,
        "length": options.length,
        "repeats": options.repeats,
        "sentences": options.sentences,
        "systems": [
            {
                "system": system.title,
                "parameters": system.parameters,
                "gflop": system.gflop(),
                "bars": bars.LATENCY.get(system.title, {}),
            }
            for system in systems
        ],
    }
    rows = results["systems"]
    for part in options.parts:
        if part == "l1":
            measured, figures = rows, measure_l1(systems, options)
        else:
            measured, figures = rows[1:], measure_lmax(systems[1:], options, _tell)
        for row, found in zip(measured, figures, strict=True):
            row[part] = found
        if options.output:
            write_json(options.output, results)
    print("\n" + render(results))
    if options.output:
        print(f"\nsaved in {options.output}")
    if options.docs:
        replace_block(options.docs, "latency", render(results))
        print(f"the table is in {options.docs}")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_main(main)
