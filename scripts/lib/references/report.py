"""Alignments with several references as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tabulate import tabulate

from scripts.lib.references.measuring import Matches
from scripts.lib.results import Row

TSV_COLUMNS = (
    "sentence", "best_reference", "similarity", "targets", "words", "matched", "substituted", "skipped_targets",
    "skipped_words", "displaced", "cost",
)  # fmt: skip
_SHOWN = 4  # references that have a line of their own
_COLUMNS = (
    ("matched %", "matched"),
    ("substituted %", "substituted"),
    ("skipped targets %", "skipped_targets"),
    ("skipped words %", "skipped_words"),
    ("displaced %", "displaced"),
)


def reference_table(found: Row) -> str:
    """One line a reference (the first few, where there are many), one for all, one for the best of each sentence."""
    listed = found["references"][:_SHOWN] if len(found["references"]) > 1 else []
    body = [_line(f"reference {number}", shares) for number, shares in enumerate(listed, start=1)]
    several = len(found["references"]) > 1
    body.append(_line(f"all {len(found['references'])}" if several else "the reference", found["all"]))
    if several:
        body.append(_line("the best", found["best"]))
    headers = ["aligned with", *(heading for heading, _ in _COLUMNS), "nats a target"]
    return tabulate(body, headers, colalign=("left", *("right",) * (len(headers) - 1)), disable_numparse=True)


def comparison_table(rows: Iterable[Row]) -> str:
    """One line a system: with the first reference, and with the best one."""
    body = []
    for row in rows:
        found = row["translations"]
        first, best = found["references"][0], found["best"]
        body.append(
            [
                row["system"],
                *(_percent(shares[name]) for shares in (first, best) for name in ("matched", "displaced")),
                _percent(found["best_counts"][0] / max(sum(found["best_counts"]), 1)),
            ]
        )
    headers = [
        "translations", "matched %, first", "displaced %", "matched %, best", "displaced %", "first is best, %"
    ]  # fmt: skip
    return tabulate(body, headers, colalign=("left", *("right",) * (len(headers) - 1)), disable_numparse=True)


def sentences_tsv(matches: Matches, best: Sequence[int | None]) -> str:
    """Each sentence with its best reference; sentences and references are counted from 1."""
    lines = ["\t".join(TSV_COLUMNS)]
    for number, (row, place) in enumerate(zip(matches, best, strict=True), start=1):
        match = None if place is None else row[place]
        if match is None or place is None:
            continue
        counts = [str(getattr(match, name)) for name in TSV_COLUMNS[3:-1]]
        lines.append("\t".join([str(number), str(place + 1), f"{match.similarity:.6g}", *counts, f"{match.cost:.6g}"]))
    return "".join(f"{line}\n" for line in lines)


def _line(name: str, shares: Row) -> list[str]:
    return [name, *(_percent(shares[key]) for _, key in _COLUMNS), f"{shares['cost']:.3f}"]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
