"""The search against trying every size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scripts.lib.latency.batch_search import PRECISION, Attempt, fastest, largest_that_fits

SENTENCES = 5000


def attempt_up_to(limit: int) -> list[Attempt]:
    """Batches of more than ``limit`` do not fit."""
    made = largest_that_fits(
        lambda size: Attempt(size, -(-SENTENCES // size), 1.0 if size <= limit else None, None), start=1
    )
    assert len(made) < 40
    return made


@given(st.integers(1, 2 * SENTENCES))
def test_the_largest_that_fits_is_found_to_within_a_tenth(limit: int) -> None:
    found = max(attempt.size for attempt in attempt_up_to(limit) if attempt.fits)
    assert found <= limit
    assert found >= SENTENCES or found + 1 > limit / PRECISION or found * PRECISION >= limit


def test_when_not_even_the_first_fits() -> None:
    assert [attempt.fits for attempt in attempt_up_to(0)] == [False]


@given(st.integers(0, 12), st.integers(0, 5))
def test_the_fastest_is_found_where_speed_has_one_peak(peak: int, slowness: int) -> None:
    best = 2**peak

    def attempt(size: int) -> Attempt:
        distance = abs(size.bit_length() - best.bit_length())
        return Attempt(size, -(-SENTENCES // size), 1.0 + distance * (1 + slowness), 8 * size)

    made = fastest(attempt, 1, None)
    assert min(made, key=lambda entry: entry.seconds or 0.0).size == best
    assert made[-1].size <= 4 * best
    bounded = fastest(attempt, 1, 100)
    assert all((entry.peak_bytes or 0) <= 100 for entry in bounded)


def test_no_batch_is_tried_that_holds_nothing_more() -> None:
    made = fastest(lambda size: Attempt(size, -(-SENTENCES // size), 1.0 / size, None), 1024, None)
    assert [entry.size for entry in made] == [1024, 2048, 4096, 8192]
