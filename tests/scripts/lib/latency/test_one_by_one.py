"""Systems take turns, and each sentence's time is its own."""

from __future__ import annotations

import pytest

from scripts.lib.latency.one_by_one import measure_one_by_one, warm_up
from tests.scripts.lib.latency.pretended import Clock, System, sentences


def test_blocks_in_turn_with_a_sentence_before_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, order = Clock(monkeypatch), []
    systems = [System("a", clock, 1.0, order), System("b", clock, 2.0, order)]
    told: list[int] = []
    found = measure_one_by_one(systems, [sentences(3)] * 2, repeats=2, block=2, device="cpu", tell=told.append)
    # a block of two and one of one, each with its first sentence before the clock; the first turn moves on
    assert order == [
        *("a0", "a0", "a1", "b0", "b0", "b1", "b2", "b2", "a2", "a2"),
        *("b0", "b0", "b1", "a0", "a0", "a1", "a2", "a2", "b2", "b2"),
    ]
    assert [one.ms for one in found] == [[[1000.0] * 3] * 2, [[2000.0] * 3] * 2]
    assert [one.means for one in found] == [[1000.0] * 2, [2000.0] * 2]
    assert found[1].translations == [[0, 1], [1, 1], [2, 1]]
    assert sum(told) == 12


def test_a_slower_machine_is_slower_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, order = Clock(monkeypatch), []
    systems = [System("a", clock, 1.0, order), System("b", clock, 2.0, order)]

    def slow_down(done: int) -> None:
        clock.speed = 1.0 if len(order) < 12 else 0.25

    found = measure_one_by_one(systems, [sentences(12)] * 2, repeats=1, block=1, device="cpu", tell=slow_down)
    slower = found[1].means[0] / found[0].means[0]
    assert slower == pytest.approx(2.0, rel=0.05)
    assert found[0].means[0] > 2500


def test_warming_up_takes_sentences_from_all_over(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    system = System("a", Clock(monkeypatch), 1.0, order)
    warm_up([system], [sentences(10)], 3)
    warm_up([system], [sentences(2)], 3)
    warm_up([system], [sentences(2)], 0)
    assert order == ["a0", "a3", "a6", "a0", "a1"]
