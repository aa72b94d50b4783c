"""Medians of paired ratios, quartiles and slopes."""

from __future__ import annotations

import pytest

from scripts.lib.measuring import timing


class Clock:
    """Time that passes only when work is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.busy = 0.0
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(timing.time, "process_time", lambda: self.busy)

    def work(self, *durations: float) -> Work:
        return Work(self, durations)


class Work:
    """Takes the given times, one after the other, the last for ever."""

    def __init__(self, clock: Clock, durations: tuple[float, ...]) -> None:
        self.clock, self.durations, self.calls = clock, durations, 0

    def __call__(self) -> None:
        duration = self.durations[min(self.calls, len(self.durations) - 1)]
        self.clock.now += duration
        self.clock.busy += duration / 2  # the other half of the time somebody else is at work
        self.calls += 1


def test_each_run_is_divided_by_the_baseline_just_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    # the machine becomes four times slower on the way; the first run of the work warms up
    baseline, work = clock.work(1.0, 2.0, 4.0), clock.work(99.0, 2.0, 4.0, 8.0)
    pairs = timing.measure_pairs(baseline, work, repetitions=3, budget=0.0)
    assert (pairs.ratio.low, pairs.ratio.median, pairs.ratio.high) == (2.0, 2.0, 2.0)
    assert (pairs.baseline_ms.median, pairs.ms.median) == (2000.0, 4000.0)
    assert (baseline.calls, work.calls, pairs.count) == (3, 4, 3)


def test_a_case_ends_when_its_seconds_are_over_but_not_before_three_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    slow = timing.measure_pairs(clock.work(10.0), clock.work(10.0), repetitions=50, budget=1.0)
    quick = timing.measure_pairs(clock.work(0.1), clock.work(0.1), repetitions=50, budget=1.0)
    short = timing.measure_pairs(clock.work(0.1), clock.work(0.1), repetitions=2, budget=1.0)
    assert slow.count == 3
    assert quick.count == pytest.approx(5, abs=1)
    assert short.count == 2


def test_short_work_is_timed_several_runs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    work = clock.work(0.5)
    assert timing.measure(work, repetitions=1, budget=0.0, at_once=10).median == 500.0
    assert work.calls == 20


def test_the_cpus_clock_leaves_out_what_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Clock(monkeypatch).work(1.0)
    assert timing.measure(work, repetitions=1, budget=0.0).median == 1000.0
    assert timing.measure(work, repetitions=1, budget=0.0, clock="cpu").median == 500.0


def test_quartiles() -> None:
    assert timing.spread([5.0]) == timing.Spread(5.0, 5.0, 5.0)
    assert timing.spread([4.0, 1.0, 2.0, 3.0, 5.0]) == timing.Spread(3.0, 2.0, 4.0)


def test_the_slope_of_a_power_law_is_its_exponent() -> None:
    sizes = [1.0, 2.0, 8.0, 64.0]
    assert timing.slope(sizes, [3 * size**1.5 for size in sizes]) == pytest.approx(1.5)
