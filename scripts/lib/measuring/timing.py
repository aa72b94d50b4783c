"""Times, and ratios of times that were measured side by side.

A machine's speed drifts (clocks, other programs, pages), by more than the differences that are looked for. So a loss is
never compared with a figure from earlier: the baseline and the loss are run in turn, A B A B …, each B is divided by
the A just before it, and the median of these ratios is what counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import quantiles

import torch

CLOCKS = ("wall", "cpu")
FEWEST = 3


@dataclass(frozen=True)
class Spread:
    """A median and the quartiles around it."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Pairs:
    """What :func:`measure_pairs` found.

    Attributes:
        ratio: time of the work over time of the baseline.
        baseline_ms, ms: times of one run, milliseconds.
        count: how many pairs.
    """

    ratio: Spread
    baseline_ms: Spread
    ms: Spread
    count: int


def spread(values: list[float]) -> Spread:
    """Median and quartiles of at least one value."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return Spread(middle, low, high)


def synchronize(device: str) -> None:
    """Wait until the device has done what it was told; nothing to wait for on a CPU."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(work: Callable[[], object], device: str, clock: str = "wall") -> float:
    """Time of one run, device work included.

    Args:
        clock: ``wall``, or ``cpu``: the time that this process and the kernel for it were at work, which other programs
            on a busy machine do not add to. It is the sum over threads.
    """
    synchronize(device)
    started = _now(clock)
    work()
    synchronize(device)
    return _now(clock) - started


def measure_pairs(
    baseline: Callable[[], object],
    work: Callable[[], object],
    *,
    repetitions: int,
    budget: float,
    device: str = "cpu",
    clock: str = "wall",
) -> Pairs:
    """Run both in turn, after one run of the work to warm up; the baseline has run before.

    Args:
        repetitions: most pairs.
        budget: seconds after which no further pair is begun; three pairs are made in any case.
        clock: see :func:`seconds`.
    """
    work()
    started = time.perf_counter()
    before: list[float] = []
    after: list[float] = []
    while _goes_on(len(after), repetitions, started, budget):
        before.append(seconds(baseline, device, clock))
        after.append(seconds(work, device, clock))
    ratios = [mine / theirs for mine, theirs in zip(after, before, strict=True)]
    return Pairs(spread(ratios), _in_ms(before), _in_ms(after), len(ratios))


def measure(
    work: Callable[[], object],
    *,
    repetitions: int,
    budget: float,
    device: str = "cpu",
    clock: str = "wall",
    at_once: int = 1,
) -> Spread:
    """Milliseconds of one run.

    Args:
        repetitions, budget, clock: as in :func:`measure_pairs`.
        at_once: runs between two looks at the clock, for what is too short to be timed alone.
    """

    def several() -> None:
        for _ in range(at_once):
            work()

    several()
    started = time.perf_counter()
    times: list[float] = []
    while _goes_on(len(times), repetitions, started, budget):
        times.append(seconds(several, device, clock) / at_once)
    return _in_ms(times)


def slope(sizes: list[float], costs: list[float]) -> float:
    """Exponent of a power law through the points: the slope of log(cost) over log(size), by least squares."""
    logs = torch.tensor([sizes, costs], dtype=torch.float64).log()
    centred = logs - logs.mean(1, keepdim=True)
    return float((centred[0] * centred[1]).sum() / (centred[0] ** 2).sum())


def _goes_on(done: int, repetitions: int, started: float, budget: float) -> bool:
    return done < min(FEWEST, repetitions) or (done < repetitions and time.perf_counter() - started < budget)


def _now(clock: str) -> float:
    return time.process_time() if clock == "cpu" else time.perf_counter()


def _in_ms(times: list[float]) -> Spread:
    return spread([1000 * value for value in times])
