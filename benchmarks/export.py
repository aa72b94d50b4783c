#!/usr/bin/env python3
"""Exported one-pass models against the same models in torch, with random weights in the shapes of transformer-base.

    benchmarks/export.py                         (or: make benchmark-export)
    benchmarks/export.py --quick                 a tiny model, seconds: only to see that it runs

Each model is written as ONNX in single precision and with weights of 8 bits (nat_plugin.serving), and the three take
turns: one sentence alone (L1), and in batches as large as is fastest (Lmax), there beside an autoregressive model of 12
encoder layers and one decoder layer at beam 1. Figures and the bar are saved in results/benchmark_export.json.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Optional

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from benchmarks import bars
from benchmarks.inference import BASE, RandomSystem, Task, Width, autoregressive, one_pass
from benchmarks.inference_options import ROOT, inference_parser, settle
from benchmarks.pivot import markdown
from nat_plugin.files import write_json
from nat_plugin.serving.onnx_export import check_installed
from scripts.lib.cli import run_main, shell
from scripts.lib.exporting import PACKAGES, OnnxSystem, load_forms, write_forms
from scripts.lib.latency.one_by_one import measure_one_by_one, warm_up
from scripts.lib.latency.rows import one_by_one_figures, throughput_figures
from scripts.lib.latency.throughput import measure_throughput
from scripts.lib.latency.translator import Translates
from scripts.lib.measuring.clock import check_clock
from scripts.lib.measuring.machine import describe_in_words, describe_machine
from scripts.lib.measuring.memory import available
from scripts.lib.pages import replace_block

OUTPUT = ROOT / "results" / "benchmark_export.json"
TINY = Width(32, 64, 2, 1)
RATIOS = (0.0, 3.0)
_TITLES = {"fp32": "ONNX Runtime", "int8": "ONNX Runtime, int8"}


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: a number is out of range.
    """
    parser = inference_parser(__doc__, sentences=64, threads=1, output=OUTPUT)
    options = parser.parse_args(arguments)
    options.device = "cpu"
    settle(options, OUTPUT)
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    check_clock(options)
    check_installed()
    torch.set_num_threads(options.threads)
    width, ratios = (TINY, RATIOS[-1:]) if options.quick else (BASE, RATIOS)
    task = Task(options.vocabulary, options.length, options.sentences)
    deep = autoregressive(task, width, beam=1, layers=(2 * width.layers, 1))
    baseline = Form(deep.title, deep, None)
    with tempfile.TemporaryDirectory(prefix="export.") as place:
        models = [forms_of(one_pass(task, width, scale), Path(place) / str(scale), options.threads) for scale in ratios]
        results: dict[str, Any] = {
            "command": shell(["benchmarks/export.py", *(sys.argv[1:] if arguments is None else arguments)]),
            "machine": describe_machine("cpu", PACKAGES),
            **{name: getattr(options, name) for name in ("threads", "clock", "vocabulary", "length", "repeats")},
            "sentences": options.sentences,
            "l1": [row for forms in models for row in measure_l1(forms, options)],
            "lmax": measure_lmax([baseline, *(form for forms in models for form in forms)], options),
        }
    if options.output:
        write_json(options.output, results)
    print("\n" + render(results))
    if options.output:
        print(f"\nsaved in {options.output}")
    if options.docs:
        replace_block(options.docs, "export", render(results))
        print(f"the table is in {options.docs}")


class Form(NamedTuple):
    """One form of a model.

    Attributes:
        title: with the model's.
        system: what translates.
        bytes: of its file; None for torch.
        bar: times as fast as torch for one sentence.
    """

    title: str
    system: Translates
    bytes: Optional[int]
    bar: Optional[float] = None


def forms_of(system: RandomSystem, folder: Path, threads: int) -> list[Form]:
    """A model in torch, and its exported forms, which are written to ``folder``."""
    dictionary = system.task.dictionary
    write_forms(system.model, dictionary, dictionary, system.generator.options, folder, reduce_range=False)
    made = [Form(f"{system.title}: torch", system, None)]
    for name, translator in load_forms(folder, threads).items():
        onnx = OnnxSystem(translator, dictionary.pad(), system)
        bar = bars.EXPORT if name == "int8" else None
        made.append(Form(f"{system.title}: {_TITLES[name]}", onnx, translator.path.stat().st_size, bar))
    return made


def measure_l1(forms: Sequence[Form], options: argparse.Namespace) -> list[dict[str, Any]]:
    """One sentence at a time, every form against the first."""
    systems = [form.system for form in forms]
    sentences = [systems[0].batches(1)[: options.block]] * len(systems)
    warm_up(systems, sentences, 2)
    found = measure_one_by_one(
        systems,
        sentences,
        repeats=options.repeats,
        block=options.block,
        device="cpu",
        clock=check_clock(options),
    )
    return [
        {
            "title": form.title,
            "bytes": form.bytes,
            "bar": form.bar,
            "same_tokens": one.translations == found[0].translations,
            **one_by_one_figures(one, found[0]),
        }
        for form, one in zip(forms, found, strict=True)
    ]


def measure_lmax(forms: Sequence[Form], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Large batches, every form against the first."""
    free = available()
    found = measure_throughput(
        [partial(_as_it_is, form.system) for form in forms],
        repeats=options.repeats,
        device="cpu",
        smallest=min(8, options.sentences),
        most_bytes=None if free is None else free // 2,
        clock=check_clock(options),
        tell=lambda text: print(text, file=sys.stderr, flush=True),
    )
    return [
        {"title": form.title, **throughput_figures(one, found[0]), "batch": f"{one.size} sentences"}
        for form, one in zip(forms, found, strict=True)
    ]


def _as_it_is(system: Translates) -> AbstractContextManager[Translates]:
    return nullcontext(system)


def render(results: dict[str, Any]) -> str:
    """The tables as Markdown; nothing in them that is not in ``results``."""
    single = [
        [
            *_times(row),
            "–" if row["bytes"] is None else f"{row['bytes'] / 2**20:.0f}",
            "–" if row["bar"] is None else f"≥ {row['bar']:g}",
            "" if row["bar"] is None else ("meets" if row["speedup"] >= row["bar"] else "misses"),
        ]
        for row in results["l1"]
    ]
    batches = [[*_times(row), row["batch"]] for row in results["lmax"]]
    return (
        f"Random weights, V = {results['vocabulary']}, sources of {results['length']} tokens, {results['repeats']} "
        f"repeats; medians, quartiles in brackets. {describe_in_words(results)}; load average "
        f"{results['machine']['load_average']:.1f}. `{results['command']}`\n\n"
        "**L1, CPU: one sentence alone**, times as fast as the same model in torch:\n\n"
        f"{markdown(single, ['', 'ms', 'times as fast', 'MiB', 'bar', ''], left=1)}\n\n"
        "**Lmax, CPU: a sentence in large batches**, times as fast as 12 encoder layers and 1 decoder layer, beam 1, "
        f"in torch:\n\n{markdown(batches, ['', 'ms', 'times as fast', 'batch'], left=1)}"
    )


def _times(row: dict[str, Any]) -> list[str]:
    times, faster = row["ms_quartiles"], row["speedup_quartiles"]
    return [
        row["title"],
        f"{row['ms']:.1f} [{times[0]:.1f}, {times[1]:.1f}]",
        f"{row['speedup']:.2f} [{faster[0]:.2f}, {faster[1]:.2f}]",
    ]


if __name__ == "__main__":
    run_main(main)
