#!/usr/bin/env python3
"""A whole training step of a CMLM with each criterion against the same step with fairseq's cross entropy.

    benchmarks/training_step.py                    transformer-base, V = 32000 (or: make benchmark-training-step)
    benchmarks/training_step.py --device cuda --batch 256
    benchmarks/training_step.py --quick            a tiny model, seconds: only to see that it runs

A step is what fairseq's trainer does: forward, loss, backward, Adam. Every criterion gets the same model, batch, masks
and dropout, and is run in turn with the baseline (A B A B …); the median of the ratios counts. Figures are saved in
results/benchmark_training_step.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from benchmarks import bars, malloc
from benchmarks.backends import choose_backends
from benchmarks.pivot import markdown
from benchmarks.training import BASELINE, CRITERIONS, Training
from nat_plugin.alignments.backends import BACKENDS
from nat_plugin.errors import UserError
from nat_plugin.files import write_json
from scripts.lib.cli import run_main, script_parser, shell
from scripts.lib.measuring.clock import add_clock, check_clock
from scripts.lib.measuring.machine import describe_in_words, describe_machine
from scripts.lib.measuring.memory import extra_peak
from scripts.lib.measuring.timing import measure_pairs
from scripts.lib.pages import replace_block

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "results" / "benchmark_training_step.json"


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--arch", default="cmlm_base", help="a preset of nat_plugin (default: cmlm_base)")
    parser.add_argument("--vocabulary", type=int, default=32000, metavar="V", help="default: 32000")
    parser.add_argument("--batch", type=int, default=8, help="sentences (default: 8)")
    parser.add_argument("--length", type=int, default=30, help="tokens a sentence, both sides (default: 30)")
    parser.add_argument("--masking", choices=("uniform", "full"), default="uniform", help="default: uniform")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, help="default: all that work on the device")
    parser.add_argument("--threads", type=int, default=1, help="default: 1")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--repetitions", type=int, default=15, help="most pairs a criterion (default: 15)")
    parser.add_argument("--seconds", type=float, default=60.0, help="a criterion ends after these and 3 pairs")
    add_clock(parser)
    parser.add_argument(
        "--malloc",
        choices=(*malloc.SETTINGS, "current"),
        default="default",
        help="as for benchmarks/alignments.py (default: default, what a training run meets)",
    )
    parser.add_argument("--quick", action="store_true", help="a tiny model, in this process; saved only with --output")
    parser.add_argument("--output", type=Path, help=f"default: {OUTPUT.relative_to(ROOT)}")
    parser.add_argument("--docs", type=Path, metavar="PAGE", help="put the table into this page's marked block")
    parser.add_argument("--part", choices=("time", "memory", "both"), default="both", help="default: both")
    options = parser.parse_args(arguments)
    if options.quick:
        options.arch, options.vocabulary, options.batch, options.length = "cmlm_tiny", 60, 2, 5
        options.malloc, options.repetitions, options.seconds = "current", 2, 0.0
    elif options.output is None:
        options.output = OUTPUT
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    if min(options.batch, options.length, options.threads, options.repetitions) < 1:
        raise UserError("--batch, --length, --threads and --repetitions must be at least 1.")
    options.backends = choose_backends(options.backends, options.device)
    if options.malloc == "current" or options.device == "cuda":
        torch.set_num_threads(options.threads)
        results = measure_here(options)
    else:
        results = measure_in_processes(options)
    results["command"] = shell(["benchmarks/training_step.py", *(sys.argv[1:] if arguments is None else arguments)])
    print("\n" + render(results))
    if options.output:
        write_json(options.output, results)
        print(f"\nsaved in {options.output}")
    if options.docs:
        replace_block(options.docs, "training-step", render(results))
        print(f"the table is in {options.docs}")


def measure_here(options: argparse.Namespace) -> dict[str, Any]:
    """Every criterion, in this process."""
    training = Training(
        options.arch, options.vocabulary, options.batch, options.length, options.masking, options.device
    )
    results: dict[str, Any] = {
        "machine": describe_machine(options.device),
        "threads": options.threads,
        "clock": options.clock,
        "device": options.device,
        "environment": malloc.current(),
        "model": training.describe(),
        "logits_bytes": training.logits_bytes(),
        "time": [],
        "memory": [],
    }
    cases = [
        (name, backend)
        for name, criterion in CRITERIONS.items()
        for backend in (options.backends if criterion.ours else [None])
    ]
    if options.part in ("time", "both"):
        baseline = training.step(BASELINE, None)
        baseline()
        results["time"] = [time_case(training, name, backend, baseline, options) for name, backend in cases]
    if options.part in ("memory", "both"):
        results["memory"] = [weigh_case(training, name, backend) for name, backend in cases]
    return results


def measure_in_processes(options: argparse.Namespace) -> dict[str, Any]:
    """Times under the malloc setting asked for, memory under the one that makes it exact; saved after each."""
    same = ["--malloc", "current", "--arch", options.arch, "--vocabulary", str(options.vocabulary)]
    same += ["--batch", str(options.batch), "--length", str(options.length), "--masking", options.masking]
    same += ["--repetitions", str(options.repetitions), "--seconds", str(options.seconds)]
    same += ["--threads", str(options.threads), "--clock", check_clock(options), "--backends", *options.backends]
    results: dict[str, Any] = {}
    for part, setting in (("time", options.malloc), ("memory", "return")):
        if options.part in (part, "both"):
            found = malloc.run_under(setting, "benchmarks.training_step", [*same, "--part", part], options.threads)
            results = results | {part: found[part]} if results else found
            write_json(options.output, results)
    return results


def time_case(
    training: Training,
    name: str,
    backend: str | None,
    baseline: Callable[[], None],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """One criterion's step against the baseline's."""
    pairs = measure_pairs(
        baseline,
        training.step(name, backend),
        repetitions=options.repetitions,
        budget=options.seconds,
        device=options.device,
        clock=check_clock(options),
    )
    bar = bars.TRAINING_STEP if name == "nat_axe" else None
    print(f"{name}, {backend}: {pairs.ratio.median:.4f} x", file=sys.stderr, flush=True)
    return {
        "criterion": name,
        "backend": backend,
        "ratio": pairs.ratio.median,
        "ratio_quartiles": [pairs.ratio.low, pairs.ratio.high],
        "ms": pairs.ms.median,
        "baseline_ms": pairs.baseline_ms.median,
        "pairs": pairs.count,
        "bar": bar,
    }


def weigh_case(training: Training, name: str, backend: str | None) -> dict[str, Any]:
    """The memory that one criterion's step takes at its peak beyond what lies between steps."""
    peak = extra_peak(training.step(name, backend), training.device)
    return {"criterion": name, "backend": backend, "extra_bytes": peak}


def render(results: dict[str, Any]) -> str:
    """One row a criterion and backend, as Markdown."""
    body = []
    memory = {(row["criterion"], row["backend"]): row["extra_bytes"] for row in results["memory"]}
    for row in results["time"]:
        low, high = row["ratio_quartiles"]
        extra = memory.get((row["criterion"], row["backend"]))
        body.append(
            [
                *(CRITERIONS[row["criterion"]].title, row["backend"] or "–", f"{row['ratio']:.3f}"),
                *(f"{low:.3f} – {high:.3f}", f"{row['ms']:.0f}"),
                "–" if extra is None else f"{extra / 2**20:.0f}",
                "–" if row["bar"] is None else f"≤ {row['bar']:g}",
                bars.verdict([row["ratio"]], row["bar"]),
            ]
        )
    headers = ["a step with", "backend", "× baseline", "quartiles", "ms", "extra memory, MiB", "bar", ""]
    where = describe_in_words(results)
    return f"{where}; {results['model']}. `{results['command']}`\n\n{markdown(body, headers, left=2)}"


if __name__ == "__main__":
    run_main(main)
