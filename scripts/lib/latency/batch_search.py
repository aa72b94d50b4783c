"""How large a batch may be, found by trying.

On a GPU the largest batch that fits is looked for (the paper's Lmax). On a CPU memory is no measure of speed: there the
batch of the highest throughput is, up to a bound on memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# A batch that fits, and one at most so much larger that does not: then the search ends.
PRECISION = 1.1
# So many doublings in a row that are slower than the best: then a larger batch will not be faster either.
_SLOWER = 2


@dataclass(frozen=True)
class Attempt:
    """All sentences in batches of one size.

    Attributes:
        size: of a batch.
        batches: how many there were.
        seconds: for all of them; None where one did not fit.
        peak_bytes: the most that translating took beyond what was held before; None where the system cannot say.
    """

    size: int
    batches: int
    seconds: float | None
    peak_bytes: int | None

    @property
    def fits(self) -> bool:
        return self.seconds is not None


Try = Callable[[int], Attempt]


def largest_that_fits(attempt: Try, start: int) -> list[Attempt]:
    """Double from ``start`` until a batch does not fit or holds everything; then halve the interval in between.

    Args:
        attempt: translates everything in batches of a size.

    Returns:
        All attempts in the order made; the answer is the largest that fits. None does where even ``start`` did not.
    """
    made = [attempt(start)]
    while made[-1].fits and made[-1].batches > 1:
        made.append(attempt(2 * made[-1].size))
    if made[-1].fits or len(made) == 1:
        return made
    low, high = made[-2].size, made[-1].size
    while high > PRECISION * low and high - low > 1:
        made.append(attempt((low + high) // 2))
        low, high = (made[-1].size, high) if made[-1].fits else (low, made[-1].size)
    return made


def fastest(attempt: Try, start: int, most_bytes: int | None) -> list[Attempt]:
    """Double from ``start`` while that may still be faster, fits into memory and changes anything.

    Args:
        attempt: translates everything in batches of a size.
        most_bytes: a batch twice as large is not tried where it would take more, should it take twice the memory.

    Returns:
        All attempts in the order made; the answer is the one of the fewest seconds.
    """
    made = [attempt(start)]
    slower = 0
    while made[-1].batches > 1 and slower < _SLOWER and not _too_large(made[-1], most_bytes):
        best = min(entry.seconds or 0.0 for entry in made)
        made.append(attempt(2 * made[-1].size))
        slower = slower + 1 if (made[-1].seconds or 0.0) > best else 0
    return made


def _too_large(last: Attempt, most_bytes: int | None) -> bool:
    return most_bytes is not None and last.peak_bytes is not None and 2 * last.peak_bytes > most_bytes
