"""Where a NAT stands on a ladder of autoregressive models."""

from __future__ import annotations

import pytest

from nat_plugin.analysis.size_ladder import Rung, bracket

LADDER = [Rung(30, 15.0), Rung(10, 5.0), Rung(20, 10.0)]


@pytest.mark.parametrize(
    ("bleu", "below", "above"),
    [
        (7.0, Rung(10, 5.0), Rung(20, 10.0)),
        (10.0, Rung(10, 5.0), Rung(20, 10.0)),  # as good is good enough
        (14.9, Rung(20, 10.0), Rung(30, 15.0)),
        (4.0, None, Rung(10, 5.0)),
        (15.1, Rung(30, 15.0), None),
    ],
)
def test_between_two_rungs_or_beyond_an_end(bleu: float, below: Rung | None, above: Rung | None) -> None:
    assert bracket(LADDER, bleu) == (below, above, True)


def test_a_ladder_that_goes_down_again_says_so() -> None:
    rungs = [Rung(10, 5.0), Rung(20, 12.0), Rung(30, 11.0), Rung(40, 20.0)]
    assert bracket(rungs, 11.5) == (Rung(10, 5.0), Rung(20, 12.0), False)


def test_the_papers_table_5() -> None:
    """WMT14 En-De: 2.1 % to 3.2 % of 62.6M parameters, 4.60 to 11.88 BLEU, for a NAT of 11.79."""
    found = bracket([Rung(1_300_000, 4.60), Rung(2_000_000, 11.88), Rung(62_600_000, 27.11)], 11.79)
    assert (found.below, found.above) == (Rung(1_300_000, 4.60), Rung(2_000_000, 11.88))


@pytest.mark.parametrize("ladder", [[], [Rung(1, 2.0), Rung(1, 3.0)]])
def test_no_ladder(ladder: list[Rung]) -> None:
    with pytest.raises(ValueError, match="different sizes"):
        bracket(ladder, 1.0)
