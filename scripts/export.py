#!/usr/bin/env python3
"""Export a one-pass model for serving: ONNX, in single precision and with weights of 8 bits, checked and measured.

    scripts/export.py runs/multi30k_en_de_kd/ctc_small
    scripts/export.py RUN --set length_candidates=3 length_multiplier=1.05 --output serving/en_de

Written are RUN/export/model.onnx, model.int8.onnx, the symbols of both sides and export.json. The single-precision form
has to say token for token what fairseq-generate says of the whole split, or nothing is kept; the other one's BLEU is
given beside it, and the speed of both against the model in torch, one sentence at a time. nat_plugin.serving's
OnnxTranslator translates with the folder; it needs neither torch nor fairseq.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from tabulate import tabulate

from nat_plugin.errors import UserError
from nat_plugin.files import write_json
from nat_plugin.serving.onnx_export import check_installed
from nat_plugin.serving.runtime import DESCRIPTION, OnnxTranslator
from scripts.lib.cli import run_main, script_parser, shell
from scripts.lib.decoding_arguments import add_overrides, parse_overrides
from scripts.lib.evaluation import Evaluation
from scripts.lib.exporting import (
    PACKAGES,
    Agreement,
    OnnxSystem,
    agreement,
    load_forms,
    remove_export,
    translate_all,
    write_export,
)
from scripts.lib.generation import Generation, displayed_path
from scripts.lib.latency.one_by_one import measure_one_by_one, warm_up
from scripts.lib.latency.rows import Row, one_by_one_figures
from scripts.lib.latency.translator import Translates, Translator
from scripts.lib.measuring.machine import describe_machine


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: a number is out of range, or a --set that is no key=value.
    """
    parser = script_parser(__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory of scripts/train.py, or a checkpoint")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder to write (default: RUN/export)")
    parser.add_argument("--checkpoint", help="file in RUN/checkpoints, or a path (default: as scripts/evaluate.py)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="data to check with (default: the run's own)")
    parser.add_argument("--split", default="test", help="which part of it (default: test)")
    add_overrides(parser, "decoding flags that win over the run's, and are built in")
    parser.add_argument(
        "--reduce-range",
        action="store_true",
        help="weights of 7 bits, for processors without VNNI (docs/export.md)",
    )
    parser.add_argument("--threads", type=int, default=1, help="of each form when speed is measured (default: 1)")
    parser.add_argument("--sentences", type=int, default=100, help="to measure speed with (default: 100)")
    parser.add_argument("--repeats", type=int, default=5, help="of these sentences (default: 5)")
    options = parser.parse_args(arguments)
    if min(options.threads, options.sentences, options.repeats) < 1:
        raise UserError("--threads, --sentences and --repeats must be at least 1.")
    options.overrides = parse_overrides(options.overrides)
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    check_installed()
    evaluation = Evaluation.plan(
        options.run,
        split=options.split,
        data=options.data,
        checkpoint=options.checkpoint,
        overrides=options.overrides,
    )
    torch.set_num_threads(options.threads)
    translator = Translator.load(evaluation, "cpu")
    folder = options.output or evaluation.model.run.folder / "export"
    command = shell(["scripts/export.py", *(sys.argv[1:] if arguments is None else arguments)])
    details = {
        "system": evaluation.system,
        "checkpoint": displayed_path(evaluation.checkpoint),
        "command": command,
        "versions": describe_machine("cpu", PACKAGES)["versions"],
    }
    write_export(translator, folder, reduce_range=options.reduce_range, details=details)
    print(f"written to {displayed_path(folder)}; now it is compared with fairseq-generate", flush=True)
    generation = evaluation.translate(options.threads)
    rows = check(evaluation, translator, generation, folder, options.threads)
    differing = rows[0]["agreement"]["differing"]
    if differing:
        remove_export(folder)
        raise UserError(
            f"{len(differing)} sentences, number {differing[0] + 1} the first, are not translated as by "
            f"fairseq-generate, so what was written to {folder} is removed: this model cannot be exported as it is."
        )
    for row, figures in zip(rows, measure(translator, folder, options), strict=True):
        row |= figures
    save(folder, rows, options)
    print(table(rows))


def check(
    evaluation: Evaluation, translator: Translator, generation: Generation, folder: Path, threads: int
) -> list[Row]:
    """BLEU of both forms, and how far they say what fairseq-generate says."""
    expected = [generation.hypotheses[number][0] for number in range(len(evaluation.sources))]
    _, eager = evaluation.score([hypothesis.tokens for hypothesis in expected])
    sentences = translator.sentences()
    rows = []
    for form, onnx in load_forms(folder, threads).items():
        found = translate_all(onnx, sentences, translator.task.source_dictionary.pad())
        words = [translator.words(one.tokens) for one in found]
        _, scores = evaluation.score(words)
        compared: Agreement = agreement(found, words, expected)
        rows.append(
            {
                "form": form,
                "mib": onnx.path.stat().st_size / 2**20,
                "bleu": scores.bleu,
                "bleu_of_fairseq_generate": eager.bleu,
                "bleu_signature": scores.signature,
                "sentences": len(found),
                "agreement": asdict(compared),
            }
        )
    return rows


def measure(translator: Translator, folder: Path, options: argparse.Namespace) -> list[Row]:
    """The time of one sentence with each form, and with the model in torch, in turn."""
    pad = translator.task.source_dictionary.pad()
    forms = load_forms(folder, options.threads)
    systems: list[Translates] = [translator, *(OnnxSystem(form, pad, translator) for form in forms.values())]
    sentences = [translator.sentences()[: options.sentences]] * len(systems)
    warm_up(systems, sentences, 10)
    found = measure_one_by_one(systems, sentences, repeats=options.repeats, block=len(sentences[0]), device="cpu")
    return [
        {"eager_ms": one_by_one_figures(found[0], found[0])["ms"], **one_by_one_figures(one, found[0])}
        for one in found[1:]
    ]


def save(folder: Path, rows: Sequence[Row], options: argparse.Namespace) -> None:
    """Add what was found to the description."""
    path = folder / DESCRIPTION
    description: dict[str, Any] = OnnxTranslator(folder).description
    measured = {"split": options.split, "threads": options.threads, "sentences": options.sentences}
    machine = describe_machine("cpu", PACKAGES)
    write_json(path, description | {"forms": list(rows), "measured_with": measured | {"machine": machine}})


def table(rows: Sequence[Row]) -> str:
    """For people."""
    body = [
        [
            row["form"],
            f"{row['mib']:.1f}",
            f"{row['bleu']:.2f}",
            f"{row['bleu'] - row['bleu_of_fairseq_generate']:+.2f}",
            f"{row['agreement']['equal']} of {row['sentences']}",
            f"{row['ms']:.2f}",
            f"{row['speedup']:.2f}",
        ]
        for row in rows
    ]
    headers = ["", "MiB", "BLEU", "difference", "same tokens", "ms/sentence", "times as fast as torch"]
    return tabulate(body, headers, colalign=("left", *("right",) * 6), disable_numparse=True)


if __name__ == "__main__":
    run_main(main)
