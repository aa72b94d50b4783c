"""Which combination wins, and why where several have the same score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.lib.results import Row
from scripts.lib.tuning.space import Settings

DECIMALS = 2
"""With which scores are printed; those that are printed alike are equal."""
WORK_FLAGS = ("length_candidates", "iterations", "latent_samples", "beam", "ctc_beam", "ctc_beam_tokens")
"""Decoding flags of which twice the value is about twice the work."""


@dataclass(frozen=True)
class Winner:
    """What was chosen."""

    settings: Settings
    row: Row
    equal: list[Settings]
    """All combinations of the best score, the chosen one included, in the order of the search."""
    why: str
    """A sentence about equal scores; empty where there are none."""


def choose(measured: Sequence[tuple[Settings, Row]], metric: str) -> Winner:
    """The combination of the highest score; of equal ones that of the least work in decoding, then the first.

    Args:
        measured: at least one combination with its figures.
        metric: the figure that is to be highest.
    """
    best = max(round(row[metric], DECIMALS) for _, row in measured)
    equal = [(settings, row) for settings, row in measured if round(row[metric], DECIMALS) == best]
    least = min(_work(settings) for settings, _ in equal)
    cheapest = [(settings, row) for settings, row in equal if _work(settings) == least]
    settings, row = cheapest[0]
    why = ""
    if len(equal) > 1:
        listed = "; ".join(describe(each) for each, _ in equal)
        if len(cheapest) == len(equal):
            reason = "the first of them in the order of the search; none decodes with less work than another"
        elif len(cheapest) == 1:
            reason = "the one that decodes with the least work"
        else:
            reason = f"the first of the {len(cheapest)} that decode with the least work"
        why = (
            f"{len(equal)} settings have the same {metric} to {DECIMALS} decimals, {best:.{DECIMALS}f}: {listed}. "
            f"Taken is {describe(settings)}, {reason}."
        )
    return Winner(settings, row, [each for each, _ in equal], why)


def describe(settings: Settings) -> str:
    """``length_multiplier 1.05, iterations 4``."""
    return ", ".join(f"{flag} {value}" for flag, value in settings.items())


def _work(settings: Settings) -> float:
    """How many times the work of one pass; what is no number, or 0, counts as 1."""
    numbers = (settings.get(flag) for flag in WORK_FLAGS)
    return math.prod(number for number in numbers if isinstance(number, (int, float)) and number > 1)
