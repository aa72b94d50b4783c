"""Which sentence pairs are left out, why, and how many."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_SHOWN_LINES = 5


@dataclass(frozen=True)
class Limits:
    """What a pair has to keep to; lengths are counted in subwords, or in words where it is said so."""

    max_tokens: int
    """Longest side."""
    max_ratio: float | None = None
    """Longer side divided by shorter side; None: any."""
    drop_duplicates: bool = False
    """Keep only the first of equal pairs."""


class PairFilter:
    """Decides pair by pair, and keeps count."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._seen: set[bytes] = set()
        self.kept = 0
        self.dropped: Counter[str] = Counter()
        self._first: defaultdict[str, list[int]] = defaultdict(list)

    def keep(self, number: int, pair: Sequence[str], units: Sequence[str]) -> bool:
        """Whether to keep line ``number`` (from 1), given both sides as text and as units (subwords or words) joined by
        spaces."""
        reason = self._reason(pair, [len(side.split()) for side in units])
        if reason is None:
            self.kept += 1
            return True
        self.dropped[reason] += 1
        if len(self._first[reason]) < _SHOWN_LINES:
            self._first[reason].append(number)
        return False

    def _reason(self, pair: Sequence[str], lengths: Sequence[int]) -> str | None:
        if not all(lengths):
            return "empty"
        if max(lengths) > self._limits.max_tokens:
            return "too long"
        if self._limits.max_ratio is not None and max(lengths) > self._limits.max_ratio * min(lengths):
            return "length ratio"
        return "duplicate" if self._limits.drop_duplicates and self._is_repeated(pair) else None

    def _is_repeated(self, pair: Sequence[str]) -> bool:
        # Digests, because the text of millions of pairs would not fit into memory.
        digest = hashlib.blake2b("\n".join(pair).encode(), digest_size=16).digest()
        if digest in self._seen:
            return True
        self._seen.add(digest)
        return False

    def counts(self) -> dict[str, Any]:
        """``{read, kept, dropped: {reason: pairs}, first_dropped: {reason: first line numbers}}``."""
        return {
            "read": self.kept + self.dropped.total(),
            "kept": self.kept,
            "dropped": dict(self.dropped),
            "first_dropped": dict(self._first),
        }
