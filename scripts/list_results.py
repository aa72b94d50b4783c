#!/usr/bin/env python3
"""Every measured row in one table, the best first, from the files that recipes and scripts/evaluate.py wrote.

    scripts/list_results.py results/recipes/multi30k_en_de_tiny_encoder/*.json results/multi30k_en_de_choices.json
    scripts/list_results.py results/recipes/mine_base/*.json --docs docs/results_rows.md --block mine

A row that stands in several files, as in tables that share a model, is listed once, with all that any of them says of
it. Rows of the validation set have a table of their own; files that hold no translations, such as times and curves, are
passed over and counted. A dash is what no file says. Signatures and commands are in the files.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from tabulate import tabulate

from nat_plugin.errors import UserError
from scripts.lib.cli import run_main, script_parser
from scripts.lib.pages import replace_block
from scripts.lib.reproduce.measures import MEASURES, Measure
from scripts.lib.results import Row

SHOWN = [
    MEASURES[name]
    for name in (
        *("bleu", "tokenized_bleu", "repeated_tokens", "length_ratio", "l1_ms", "speedup"),
        *("updates", "parameters", "training_minutes"),
    )
]
_LANGUAGES = {"source_lang", "target_lang"}


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = script_parser(__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="JSON with rows")
    parser.add_argument("--docs", type=Path, metavar="PAGE", help="put the tables into this page, too")
    parser.add_argument("--block", default="rows", help="of the page: between its begin and end (default: rows)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    rows, passed_over = [], 0
    for path in sorted(options.files):  # a shell sorts by its language
        found = translations(path)
        rows += found
        passed_over += not found
    if not rows:
        raise UserError("no file has a row with BLEU: name the JSON of a recipe or of scripts/evaluate.py --output.")
    text = tables(merge(rows))
    print(text)
    if passed_over:
        print(f"{passed_over} of {len(options.files)} files hold no translations")
    if options.docs:
        replace_block(options.docs, options.block, text)


def translations(path: Path) -> list[Row]:
    """The rows of a file that are of a checkpoint's translation; none where it holds something else.

    Raises:
        UserError: it cannot be read.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error}): leave it out.") from error
    rows = record.get("rows", []) if isinstance(record, dict) else record
    if not isinstance(rows, list):
        return []
    return [
        row | {"files": [path.stem]}
        for row in rows
        if isinstance(row, dict) and row.get("bleu") is not None and row.get("checkpoint")
    ]


def merge(rows: Iterable[Row]) -> list[Row]:
    """One row for each translation, with what all of them say; the best first."""
    merged: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = (row["checkpoint"], json.dumps(row.get("decoding"), sort_keys=True), row.get("split"), row["bleu"])
        known = {name: value for name, value in row.items() if value is not None}
        before = merged.get(key, {})
        merged[key] = {**known, **before, "files": [*before.get("files", ()), *row["files"]]}
    return sorted(merged.values(), key=lambda row: (-row["bleu"], model(row), decoding(row)))


def tables(rows: Sequence[Row]) -> str:
    """A table for each split that rows are of, the test set's first."""
    splits = sorted({row.get("split", "test") for row in rows}, key=lambda split: (split != "test", split))
    parts = []
    for split in splits:
        lines = [
            {"model": model(row), "decoding": decoding(row)}
            | {measure.heading: _cell(row, measure) for measure in SHOWN}
            | {"in": ", ".join(dict.fromkeys(row["files"]))}
            for row in rows
            if row.get("split", "test") == split
        ]
        alignment = ("left", "left", *("right",) * len(SHOWN), "left")
        body = tabulate(lines, headers="keys", tablefmt="pipe", disable_numparse=True, colalign=alignment)
        of = "test set" if split == "test" else f"split {split}"
        parts.append(f"{len(lines)} row{'s' * (len(lines) != 1)} of the {of}:\n\n{body}")
    return "\n\n".join(parts)


def model(row: Row) -> str:
    """Data and run: the folder that the checkpoint is in, without that of all runs."""
    folder = Path(row["checkpoint"]).parent
    run = folder.parent if folder.name == "checkpoints" else folder
    return "/".join(run.parts[-2:])


def decoding(row: Row) -> str:
    """What decodes otherwise than in one plain pass."""
    flags = row.get("decoding") or {}
    shown = {key: value for key, value in flags.items() if key not in _LANGUAGES and value != _PLAIN.get(key)}
    return ", ".join(f"{key}={Path(value).name if isinstance(value, str) else value}" for key, value in shown.items())


# What scripts/train.py has every run decode with unless its method says otherwise.
_PLAIN = {
    "iterations": 1, "length_candidates": 1, "length_multiplier": 1.0, "stop_when_unchanged": True, "lenpen": 1.0,
    "deduplicate": False,
}  # fmt: skip


def _cell(row: Row, measure: Measure) -> str:
    value = row.get(measure.name)
    return measure.show(None if value is None else measure.factor * value)


if __name__ == "__main__":
    run_main(main)
