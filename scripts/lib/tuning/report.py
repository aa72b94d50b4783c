"""What a search has found, as a table, as JSON and as TSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from nat_plugin.files import atomic_write, write_json
from scripts.lib.results import Row
from scripts.lib.tuning.decoding import METRICS
from scripts.lib.tuning.space import Settings
from scripts.lib.tuning.winner import DECIMALS, Winner

KEPT = (
    *METRICS, "brevity_penalty", "length_ratio", "repeated_tokens", "ms_per_sentence", "signature", "checkpoint",
    "command", "run", "skip_target",
)  # fmt: skip
"""What is remembered of a combination's row, where the row has it."""
_COLUMNS = (*METRICS, "brevity_penalty", "length_ratio", "repeated_tokens", "skip_target")
_SHOWN = ("bleu", "chrf", "tokenized_bleu", "brevity_penalty", "skip_target")  # what a terminal has room for


def save(path: Path, measured: Sequence[tuple[Settings, Row]], winner: Winner, about: dict[str, Any]) -> None:
    """Write the curve.

    Args:
        path: a .json; the .tsv gets its name from it.
        measured: every combination with its figures.
        about: what else is to be said about the search.
    """
    curve = [settings | row for settings, row in measured]
    found = {"winner": winner.settings, "equal": winner.equal, "why": winner.why, **about, "curve": curve}
    write_json(path, found)
    columns = [*winner.settings, *(name for name in _COLUMNS if any(row.get(name) is not None for _, row in measured))]
    with atomic_write(path.with_suffix(".tsv")) as handle:
        handle.write("\t".join(columns) + "\n")
        for point in curve:
            handle.write("\t".join(_cell(point.get(name)) for name in columns) + "\n")


def table(measured: Sequence[tuple[Settings, Row]], winner: Winner, metric: str) -> str:
    """For people: ``*`` is what was chosen, ``=`` has the same score."""
    names = [name for name in _COLUMNS if name in _SHOWN or name == metric]
    shown = [name for name in names if any(row.get(name) is not None for _, row in measured)]
    body = [
        [*map(str, settings.values()), *(_rounded(name, row.get(name)) for name in shown), _mark(settings, winner)]
        for settings, row in measured
    ]
    return tabulate(body, [*winner.settings, *(name.replace("_", " ") for name in shown), ""], disable_numparse=True)


def _mark(settings: Settings, winner: Winner) -> str:
    if settings == winner.settings:
        return "*"
    return "=" * (settings in winner.equal)


def _rounded(name: str, value: float | None) -> str:
    return "–" if value is None else f"{value:.{DECIMALS if name in METRICS else 3}f}"


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.8g}" if isinstance(value, float) else str(value)
