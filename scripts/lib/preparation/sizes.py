"""Whether a prepared data set has the size that papers or its publisher state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.lib.corpora.model import StatedSize

_WHEN = {"published": "in the published files", "kept": "left in the end"}


def describe(size: StatedSize) -> str:
    """For ``--dry-run``."""
    return f"expect {size.split}: {size.pairs:,} pairs {_WHEN[size.when]}{_within(size)} ({size.stated_by})"


def compare(sizes: Sequence[StatedSize], counts: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Hold the counts of ``prepare.json`` to what is stated.

    Returns:
        For each size ``{split, when, stated, found, stated_by, off}``; ``off`` is None, or a sentence that says how
        the numbers differ.
    """
    rows = []
    for size in sizes:
        count = counts[size.split]
        found = count["assembled"]["read"] if size.when == "published" else count["kept"]
        far = abs(found - size.pairs) > size.tolerance * size.pairs
        off = (
            f"{size.split} has {found:,} pairs {_WHEN[size.when]}, where {size.pairs:,}{_within(size)} are stated "
            f"({size.stated_by})"
        )
        rows.append(
            {
                "split": size.split,
                "when": size.when,
                "stated": size.pairs,
                "found": found,
                "stated_by": size.stated_by,
                "off": off if far else None,
            }
        )
    return rows


def _within(size: StatedSize) -> str:
    return f" (± {size.tolerance:.0%})" if size.tolerance else ""
