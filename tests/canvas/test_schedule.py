"""The notation of schedules."""

from __future__ import annotations

import pytest

from nat_plugin.canvas.schedule import Schedule


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5", Schedule(0.5, 0.5, 0)),
        ("1", Schedule(1.0, 1.0, 0)),
        (" 0.5:0.3@200k ", Schedule(0.5, 0.3, 200_000)),
        ("1.0:0@1.5M", Schedule(1.0, 0.0, 1_500_000)),
        (".25:1e-2@750", Schedule(0.25, 0.01, 750)),
        ("0.5:0.3@0", Schedule(0.5, 0.3, 0)),
    ],
)
def test_reads_the_notation(text: str, expected: Schedule) -> None:
    assert Schedule.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["", "half", "0.5:0.3", "0.5@200k", "0.5:0.3@", "0.5:0.3@200g", "-1", "0.5:0.3@-5", "1,5"]
)
def test_says_how_to_write_what_it_cannot_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no schedule: write 0\.5, or 0\.5:0\.3@200k"):
        Schedule.parse(text)


def test_goes_straight_and_then_stays() -> None:
    schedule = Schedule.parse("0.5:0.3@200k")
    assert [schedule.at(update) for update in (0, 50_000, 100_000, 200_000, 10**6)] == pytest.approx(
        [0.5, 0.45, 0.4, 0.3, 0.3]
    )
    assert Schedule.parse("2:1@0").at(0) == 1
    assert Schedule.parse("0.7").at(12345) == 0.7


def test_knows_its_bounds() -> None:
    assert Schedule.parse("0:1@9").within(0, 1)
    assert not Schedule.parse("0:1.1@9").within(0, 1)
