"""Files of result rows, and the table of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tabulate import tabulate

from nat_plugin.errors import UserError
from nat_plugin.files import write_json

Row = dict[str, Any]

# Heading, key of the row, factor, decimals.
_COLUMNS: tuple[tuple[str, str, float, int], ...] = (
    ("BLEU", "bleu", 1, 2),
    ("chrF", "chrf", 1, 2),
    ("tok. BLEU", "tokenized_bleu", 1, 2),
    ("uncased", "tokenized_bleu_uncased", 1, 2),
    ("brevity", "brevity_penalty", 1, 3),
    ("length", "length_ratio", 1, 3),
    ("repeated %", "repeated_tokens", 100, 2),
    ("reps/sentence", "repetitions_per_sentence", 1, 2),
    ("empty %", "empty_outputs", 100, 2),
    ("ms/sentence", "ms_per_sentence", 1, 2),
)


def read_rows(path: Path) -> list[Row]:
    """The rows of a results file; none if there is no such file.

    Raises:
        UserError: the file is something else.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}): name another file to write the results to.") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "system" in row for row in rows):
        raise UserError(f"{path} is not a list of results, each with its system: name another file to write them to.")
    return rows


def update_rows(path: Path, new: Iterable[Row]) -> None:
    """Put ``new`` rows into a results file: in the place of those of the same system and split, else at the end.

    Raises:
        UserError: the file is there and is something else.
    """
    rows = read_rows(path)
    for row in new:
        for place, old in enumerate(rows):
            if old["system"] == row["system"] and old.get("split") in (None, row.get("split")):
                rows[place] = row
                break
        else:
            rows.append(row)
    write_json(path, rows)


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """The figures of ``rows`` for people."""
    return tabulate(cells(rows), headers="keys", colalign=("left", *("right",) * len(_COLUMNS)), disable_numparse=True)


def cells(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The table of ``rows``, heading → cell in each line."""
    return [
        {"system": row["system"]}
        | {heading: _cell(row.get(key), factor, decimals) for heading, key, factor, decimals in _COLUMNS}
        for row in rows
    ]


def _cell(value: float | None, factor: float, decimals: int) -> str:
    return "–" if value is None else f"{factor * value:.{decimals}f}"
