#!/usr/bin/env python3
"""Exported one-pass models against the same models in torch: one sentence at a time, random weights, transformer-base.

    benchmarks/export.py                         (or: make benchmark-export)
    benchmarks/export.py --quick                 a tiny model, seconds: only to see that it runs

Each model is written as ONNX in single precision and with weights of 8 bits (nat_plugin.serving), and the three take
turns. Figures and the bar are saved in results/benchmark_export.json.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from benchmarks import bars
from benchmarks.clock import add_clock, check_clock
from benchmarks.inference import BASE, RandomSystem, Task, Width, one_pass
from benchmarks.machine import describe_in_words, describe_machine
from benchmarks.pivot import markdown, replace_block
from nat_plugin.errors import UserError
from nat_plugin.files import write_json
from nat_plugin.serving.onnx_export import check_installed
from scripts.lib.cli import run_main, shell
from scripts.lib.exporting import PACKAGES, OnnxSystem, load_forms, write_forms
from scripts.lib.latency.one_by_one import measure_one_by_one, warm_up
from scripts.lib.latency.rows import one_by_one_figures
from scripts.lib.latency.translator import Translates

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "results" / "benchmark_export.json"
TINY = Width(32, 64, 2, 1)
RATIOS = (0.0, 3.0)
_TITLES = {"torch": "torch", "fp32": "ONNX Runtime", "int8": "ONNX Runtime, int8"}


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: a number is out of range.
    """
    description, _, epilog = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vocabulary", type=int, default=32000, metavar="V", help="default: 32000")
    parser.add_argument("--length", type=int, default=25, help="tokens of sources (default: 25)")
    parser.add_argument("--repeats", type=int, default=9, help="of each form (default: 9)")
    parser.add_argument("--block", type=int, default=5, help="sentences in a repeat (default: 5)")
    parser.add_argument("--threads", type=int, default=1, help="default: 1")
    add_clock(parser)
    parser.add_argument("--quick", action="store_true", help="a tiny model; saved only with --output")
    parser.add_argument("--output", type=Path, help=f"default: {OUTPUT.relative_to(ROOT)}")
    parser.add_argument("--docs", type=Path, metavar="PAGE", help="put the table into this page's marked block")
    options = parser.parse_args(arguments)
    options.device = "cpu"
    if options.quick:
        options.vocabulary, options.length, options.repeats, options.block = 60, 6, min(options.repeats, 2), 2
    elif options.output is None:
        options.output = OUTPUT
    if min(options.length, options.repeats, options.block, options.threads) < 1:
        raise UserError("--length, --repeats, --block and --threads must be at least 1.")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    check_clock(options)
    check_installed()
    torch.set_num_threads(options.threads)
    task = Task(options.vocabulary, options.length, options.block)
    models = [one_pass(task, TINY if options.quick else BASE, scale) for scale in RATIOS]
    results: dict[str, Any] = {
        "command": shell(["benchmarks/export.py", *(sys.argv[1:] if arguments is None else arguments)]),
        "machine": describe_machine("cpu", PACKAGES),
        "threads": options.threads,
        "clock": options.clock,
        "vocabulary": options.vocabulary,
        "length": options.length,
        "repeats": options.repeats,
        "models": [measure(model, options) for model in models],
    }
    if options.output:
        write_json(options.output, results)
    print("\n" + render(results))
    if options.output:
        print(f"\nsaved in {options.output}")
    if options.docs:
        replace_block(options.docs, "export", render(results))
        print(f"the table is in {options.docs}")


def measure(system: RandomSystem, options: argparse.Namespace) -> dict[str, Any]:
    """One model in its three forms."""
    dictionary = system.task.dictionary
    with tempfile.TemporaryDirectory(prefix="export.") as place:
        folder = Path(place)
        write_forms(system.model, dictionary, dictionary, system.generator.options, folder, reduce_range=False)
        forms = load_forms(folder, options.threads)
        systems: list[Translates] = [system, *(OnnxSystem(form, dictionary.pad()) for form in forms.values())]
        sentences = [system.batches(1)] * len(systems)
        warm_up(systems, sentences, 2)
        found = measure_one_by_one(
            systems, sentences, repeats=options.repeats, block=options.block, device="cpu", clock=check_clock(options)
        )
        same = [one.translations == found[0].translations for one in found]
        sizes = [None, *(form.path.stat().st_size for form in forms.values())]
    rows = [
        {"form": name, "bytes": size, "same_tokens": equal, **one_by_one_figures(one, found[0])}
        for name, size, equal, one in zip(("torch", *forms), sizes, same, found, strict=True)
    ]
    return {"system": system.title, "parameters": system.parameters, "bar": bars.EXPORT, "forms": rows}


def render(results: dict[str, Any]) -> str:
    """The table as Markdown; nothing in it that is not in ``results``."""
    body = []
    for model in results["models"]:
        for row in model["forms"]:
            has_bar = row["form"] == "int8"
            low, high = row["speedup_quartiles"]
            body.append(
                [
                    f"{model['system']}: {_TITLES[row['form']]}",
                    f"{row['ms']:.1f} [{row['ms_quartiles'][0]:.1f}, {row['ms_quartiles'][1]:.1f}]",
                    f"{row['speedup']:.2f} [{low:.2f}, {high:.2f}]",
                    f"{(row['bytes'] or 4 * model['parameters']) / 2**20:.0f}",
                    f"≥ {model['bar']:g}" if has_bar else "–",
                    ("meets" if row["speedup"] >= model["bar"] else "misses") if has_bar else "",
                ]
            )
    table = markdown(body, ["", "ms", "times as fast as torch", "MiB", "bar", ""], left=1)
    return (
        f"One sentence alone, random weights, V = {results['vocabulary']}, sources of {results['length']} tokens, "
        f"{results['repeats']} repeats; medians, quartiles in brackets. {describe_in_words(results)}; load average "
        f"{results['machine']['load_average']:.1f}. `{results['command']}`\n\n{table}"
    )


if __name__ == "__main__":
    run_main(main)
