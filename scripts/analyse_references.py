#!/usr/bin/env python3
"""Align translations with each of several references: what they skip, replace, or say in another place.

    scripts/analyse_references.py runs/generated/cmlm_ce_demo runs/generated/cmlm_axe_demo
    scripts/analyse_references.py RUN OTHER_RUN --split test --output results/references.json

Two alignments of each sentence with every reference of the data folder (scripts/prepare.py --test-references). The
finished translation, word by word, by AXE over nearly one-hot distributions: any system has it. And the model's own
probabilities, subword by subword, on a canvas of the length that it predicts: by AXE with the training's δ, by CTC
where the slots are upsampled. Shares of matched, replaced and skipped targets, of skipped and displaced words, for each
reference and for the best one of each sentence. Written to RUN/results are references_SPLIT.json, with a signature, and
every sentence's best reference as .translations.tsv and .slots.tsv.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write, write_json
from scripts.lib.analysed_runs import plan_runs
from scripts.lib.analysis_options import analysis_parser, check_options, read_own_rows
from scripts.lib.averaging import load_checkpoint
from scripts.lib.cli import run_main, shell
from scripts.lib.decoding_arguments import add_overrides, parse_overrides
from scripts.lib.evaluation import Evaluation
from scripts.lib.generation import default_threads, displayed_path
from scripts.lib.in_process import SplitTranslator
from scripts.lib.measuring.machine import versions
from scripts.lib.references import measuring, report
from scripts.lib.results import Row, update_rows
from scripts.lib.signatures import device_name, one_line


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: a number is out of range, or --output has another ending.
    """
    parser = analysis_parser(__doc__, split="test", read_to="translate", max_tokens=2048, written="", with_plot=False)
    add_overrides(parser, "decoding flags that win over the run's, such as iterations=10")
    parser.add_argument(
        "--skip-target-penalty", type=float, metavar="δ", help="AXE's (default: 1; for slots, the training's, or 1)"
    )
    parser.add_argument("--sentences", type=int, metavar="N", help="take the first N of the split (default: all)")
    options = parser.parse_args(arguments)
    options.overrides = parse_overrides(options.overrides)
    check_options(options, {"sentences": 1}, "")
    if options.skip_target_penalty is not None and not 0 <= options.skip_target_penalty < math.inf:
        raise UserError(f"--skip-target-penalty must be 0 or more and finite, not {options.skip_target_penalty:g}.")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    if options.output:
        read_own_rows(options.output, "translations", "slots")  # refused before the work, not after
    torch.set_num_threads(options.threads or default_threads())
    command = shell(["scripts/analyse_references.py", *(sys.argv[1:] if arguments is None else arguments)])
    evaluations = plan_runs(options)
    found = []
    for evaluation in evaluations:
        found.append(analyse(evaluation, options, command))
        if options.output:
            update_rows(options.output, found[-1:])
    if len(found) > 1:
        print(report.comparison_table(found))
    if options.output:
        print(f"all systems are in {options.output}")


def analyse(evaluation: Evaluation, options: argparse.Namespace, command: str) -> Row:
    """Everything about one system: measured, printed, and saved in its folder.

    Raises:
        UserError: the system cannot be used.
    """
    translator = SplitTranslator(evaluation, sentences=options.sentences, max_tokens=options.max_tokens)
    stem = f"references_{evaluation.stem}{f'_first{options.sentences}' if options.sentences else ''}"
    output = evaluation.model.run.folder / "results" / f"{stem}.json"
    given = options.skip_target_penalty
    matches = measuring.match_translations(translator, 1.0 if given is None else given)
    row: Row = {
        "system": evaluation.system,
        "split": evaluation.split,
        "sentences": translator.sentences,
        "references": len(evaluation.references),
        "method": evaluation.model.method,
        "data": displayed_path(evaluation.data.folder),
        "checkpoint": displayed_path(evaluation.checkpoint),
        "decoding": evaluation.flags,
        "translations": {
            "aligned_by": f"axe, δ = {1.0 if given is None else given:g}, one-hot",
            **_saved(matches, measuring.most_similar, output.with_suffix(".translations.tsv")),
        },
        "slots": None,
    }
    print(f"{row['system']}, {row['split']}: {row['sentences']} sentences, references of each: {row['references']}")
    print(f"translations ({row['translations']['aligned_by']})\n{report.reference_table(row['translations'])}")
    if hasattr(translator.model, "decode_canvas"):
        row["slots"] = _slots(translator, given, output.with_suffix(".slots.tsv"))
        print(f"slots ({row['slots']['aligned_by']})\n{report.reference_table(row['slots'])}")
        if row["slots"]["unaligned"]:
            print(f"{row['slots']['unaligned']} references do not fit their slots and are left out")
    row |= {"signature": signature(row, translator), "command": command}
    write_json(output, [row])
    print(f"{row['signature']}\nsaved in {displayed_path(output)}\n", flush=True)
    return row


def _slots(translator: SplitTranslator, given: float | None, path: Path) -> Row:
    """The row of the model's own alignment."""
    delta = given
    if delta is None:
        saved = load_checkpoint(translator.evaluation.checkpoint).get("cfg") or {}
        delta = measuring.trained_skip_target_penalty(saved.get("criterion"))
    delta = 1.0 if delta is None else delta
    matches = measuring.match_slots(translator, delta)
    return {
        "aligned_by": "ctc" if translator.model.upsamples else f"axe, δ = {delta:g}",
        **_saved(matches, measuring.cheapest, path),
    }


def _saved(matches: measuring.Matches, goodness: measuring.Goodness, path: Path) -> Row:
    """The summary of all sentences, which are written to ``path``."""
    best = measuring.best_references(matches, goodness)
    with atomic_write(path) as handle:
        handle.write(report.sentences_tsv(matches, best))
    return measuring.summary(matches, best)


def signature(row: Row, translator: SplitTranslator) -> str:
    """What the figures depend on beside checkpoint and data, in one line."""
    parts = {
        "translations": f"{row['translations']['aligned_by']}, prepared words, best by similarity",
        "slots": f"{row['slots']['aligned_by']}, subwords, best by cost" if row["slots"] else "none",
        "split": row["split"],
        "sentences": row["sentences"],
        "references": row["references"],
        "dtype": translator.translator.dtype,
        "device": device_name(translator.device),
        **versions(()),
    }
    return one_line(parts)


if __name__ == "__main__":
    run_main(main)
