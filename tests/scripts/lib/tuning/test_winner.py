"""Which combination wins, and what is said of equal scores."""

from __future__ import annotations

from scripts.lib.tuning.space import Settings
from scripts.lib.tuning.winner import choose


def measured(*found: tuple[Settings, float]) -> list[tuple[Settings, dict[str, float]]]:
    return [(settings, {"bleu": bleu}) for settings, bleu in found]


def test_the_highest_wins_without_further_words() -> None:
    winner = choose(measured(({"a": 1}, 20.0), ({"a": 2}, 20.02)), "bleu")
    assert (winner.settings, winner.equal, winner.why) == ({"a": 2}, [{"a": 2}], "")


def test_of_equal_ones_the_first() -> None:
    winner = choose(measured(({"a": 1}, 19.0), ({"a": 2}, 20.001), ({"a": 3}, 20.004)), "bleu")
    assert winner.settings == {"a": 2}
    assert winner.why == (
        "2 settings have the same bleu to 2 decimals, 20.00: a 2; a 3. Taken is a 2, the first of them in the order of "
        "the search; none decodes with less work than another."
    )


def test_of_equal_ones_the_cheaper() -> None:
    both = ({"iterations": 4, "length_candidates": 3}, 20.0), ({"iterations": 1, "length_candidates": 5}, 20.0)
    winner = choose(measured(*both), "bleu")
    assert winner.settings == both[1][0]
    assert winner.why.endswith("Taken is iterations 1, length_candidates 5, the one that decodes with the least work.")
    assert winner.equal == [both[0][0], both[1][0]]


def test_of_equally_cheap_ones_the_first() -> None:
    found = [({"beam": beam, "lenpen": lenpen}, 20.0) for beam in (8, 2) for lenpen in (0.6, 1.0)]
    winner = choose(measured(*found), "bleu")
    assert winner.settings == {"beam": 2, "lenpen": 0.6}
    assert winner.why.endswith("the first of the 2 that decode with the least work.")
