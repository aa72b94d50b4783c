#!/usr/bin/env python3
"""Translate a split with trained runs through the real fairseq-generate, and score the translations.

    scripts/evaluate.py runs/multi30k_en_de/teacher_small runs/multi30k_en_de_kd/cmlm_axe_small
    scripts/evaluate.py RUN --split valid --set iterations=10 length_candidates=5 --output results/valid.json
    scripts/evaluate.py --hypotheses out.de --references test.de test.de.1 --target-lang de

A run's rows are written to RUN/results/<split>.json as soon as it is done, beside its translations (.hyp.txt) and
fairseq-generate's whole output (.log); figures and their definitions are described in scripts/lib/scoring.py.
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


from nat_plugin.errors import UserError
from scripts.lib.analysis_options import check_least
from scripts.lib.cli import run_main, script_parser
from scripts.lib.decoding_arguments import add_decoding, parse_overrides
from scripts.lib.evaluation import Evaluation
from scripts.lib.generation import displayed_path
from scripts.lib.prepared_data import read_text
from scripts.lib.results import Row, read_rows, table, update_rows
from scripts.lib.scoring import copied_share, default_tokenizer, score


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: flags that do not go together, or a --set that is no key=value.
    """
    parser = script_parser(__doc__)
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="run directories of scripts/train.py")
    parser.add_argument("--split", help="which part of the data to translate (default: test)")
    add_decoding(parser)
    parser.add_argument("--suffix", help="added to the names of the result files (default: what --set changes)")
    parser.add_argument("--hypotheses", type=Path, metavar="FILE", help="score this detokenised text instead of a run")
    parser.add_argument("--references", type=Path, nargs="+", metavar="FILE", help="what to compare --hypotheses with")
    parser.add_argument("--source", type=Path, metavar="FILE", help="the text that --hypotheses is a translation of")
    parser.add_argument("--target-lang", help="language of --hypotheses, which decides on the default of --tokenize")
    parser.add_argument("--tokenize", metavar="NAME", help="sacreBLEU's tokenizer (default: by target language)")
    parser.add_argument("--name", help="what to call the system in the results (one run or file only)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="results file to update with a row for each system")
    parsed = parser.parse_args(arguments)
    _check_combination(parsed)
    parsed.split = parsed.split or "test"
    parsed.overrides = parse_overrides(parsed.overrides)
    return parsed


def _check_combination(parsed: argparse.Namespace) -> None:
    """argparse knows no groups of flags that belong together."""
    if bool(parsed.runs) == bool(parsed.hypotheses):
        raise UserError("give either run directories or --hypotheses with --references: see --help.")
    if parsed.runs:
        only_files = {"--references": parsed.references, "--source": parsed.source, "--target-lang": parsed.target_lang}
        _refuse(only_files, "goes with --hypotheses: a run's data directory has it already")
    else:
        _refuse(
            {
                "--split": parsed.split,
                "--data": parsed.data,
                "--checkpoint": parsed.checkpoint,
                "--set": parsed.overrides,
                "--tuned": parsed.tuned,
                "--suffix": parsed.suffix,
                "--threads": parsed.threads,
            },
            "is about translating with a run, not about scoring --hypotheses: drop it",
        )
        if not parsed.references:
            raise UserError("--hypotheses needs --references FILE: what the translations are compared with.")
    if parsed.name and len(parsed.runs) > 1:
        raise UserError("--name names one system: evaluate the runs one at a time, or drop it.")
    check_least(parsed, {"threads": 1})


def _refuse(flags: dict[str, Any], why: str) -> None:
    for flag, value in flags.items():
        if value:
            raise UserError(f"{flag} {why}.")


def evaluate_files(arguments: argparse.Namespace) -> Row:
    """Score a file of detokenised translations.

    Raises:
        UserError: a file is missing, empty, not UTF-8, or not as long as the others.
    """
    hypotheses = read_text(arguments.hypotheses)
    other_files = [*arguments.references, *([arguments.source] if arguments.source else [])]
    others = {path: read_text(path) for path in other_files}
    for path, lines in others.items():
        if len(lines) != len(hypotheses):
            raise UserError(
                f"{arguments.hypotheses} has {len(hypotheses)} lines but {path} has {len(lines)}: line n of one must "
                "belong to line n of the other."
            )
    tokenizer = arguments.tokenize or default_tokenizer(arguments.target_lang)
    scores = score(hypotheses, [others[path] for path in arguments.references], tokenizer=tokenizer)
    return {
        "system": arguments.name or arguments.hypotheses.name,
        **asdict(scores),
        "ms_per_sentence": None,
        "copied_sources": copied_share(hypotheses, others[arguments.source]) if arguments.source else None,
        "hypotheses": displayed_path(arguments.hypotheses),
        "reference_files": [displayed_path(path) for path in arguments.references],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parsed = parse_arguments(arguments)
    if parsed.output:
        read_rows(parsed.output)  # a file that cannot be updated is refused before the work, not after
    rows: list[Row] = []
    try:
        if parsed.hypotheses:
            rows.append(_store(evaluate_files(parsed), parsed.output))
        for evaluation in [_plan(folder, parsed) for folder in parsed.runs]:
            rows.append(_store(evaluation.run(parsed.threads), parsed.output))
    finally:
        if rows:
            print(table(rows))
            for row in rows:
                print(f"{row['system']}: {row['signature']} (chrF {row['chrf_signature']})")


def _plan(folder: Path, parsed: argparse.Namespace) -> Evaluation:
    return Evaluation.plan(
        folder,
        split=parsed.split,
        data=parsed.data,
        checkpoint=parsed.checkpoint,
        overrides=parsed.overrides,
        tokenizer=parsed.tokenize,
        name=parsed.name,
        suffix=parsed.suffix,
        tuned=parsed.tuned,
    )


def _store(row: Row, output: Path | None) -> Row:
    if output:
        update_rows(output, [row])
    return row


if __name__ == "__main__":
    run_main(main)
