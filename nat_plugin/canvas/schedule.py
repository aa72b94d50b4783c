"""Numbers that change during the training, in one small notation: ``0.5:0.3@200k``."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = r"[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]+)?|\.[0-9]+"
_NOTATION = re.compile(rf"({_NUMBER})(?::({_NUMBER})@({_NUMBER})([kM]?))?", re.IGNORECASE)
_FACTORS = {"": 1, "k": 1_000, "m": 1_000_000}


@dataclass(frozen=True)
class Schedule:
    """A straight line from ``start`` at update 0 to ``end`` at update ``updates``, and ``end`` from then on.

    A constant has ``updates`` 0.
    """

    start: float
    end: float
    updates: int = 0

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read ``0.5`` (constant) or ``0.5:0.3@200k``: from .5 to .3 within 200,000 updates (``k``, ``M`` or none).

        Raises:
            ValueError: the text is neither; the message says how to write it.
        """
        found = _NOTATION.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"'{text}' is no schedule: write 0.5, or 0.5:0.3@200k for .5 to .3 within 200,000 updates")
        start = float(found[1])
        if found[2] is None:
            return cls(start, start)
        return cls(start, float(found[2]), round(float(found[3]) * _FACTORS[found[4].lower()]))

    def at(self, update: int) -> float:
        """The value at an update, counted from 0."""
        if update >= self.updates:
            return self.end
        return self.start + (self.end - self.start) * update / self.updates

    def within(self, least: float, most: float) -> bool:
        """Whether every value is in least..most."""
        return all(least <= value <= most for value in (self.start, self.end))
