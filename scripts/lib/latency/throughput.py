"""Lmax: the time for all sentences in batches as large as the device takes, divided by their number."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

import torch

from nat_plugin.errors import UserError
from scripts.lib.latency.batch_search import Attempt, fastest, largest_that_fits
from scripts.lib.latency.translator import Sample, Translates, timed
from scripts.lib.measuring.memory import PeakMemory

Load = Callable[[], AbstractContextManager[Translates]]
"""Puts one system on the device, and takes it away again: the largest batch is the one that fits beside that system
alone."""


@dataclass(frozen=True)
class Throughput:
    """What one system needed.

    Attributes:
        size: of a batch, in the system's own count.
        batches: how many that made.
        ms: of each repeat, milliseconds a sentence.
        translations: sentence id → token ids.
        peak_bytes: the most that translating took beyond what was held before; None where the system cannot say.
        attempts: how the size was found.
    """

    size: int
    batches: int
    ms: list[float]
    translations: dict[int, list[int]]
    peak_bytes: int | None
    attempts: list[Attempt]


def measure_throughput(
    systems: Sequence[Load],
    *,
    repeats: int,
    device: str,
    smallest: int,
    most_bytes: int | None = None,
    clock: str = "wall",
    tell: Callable[[str], object] = lambda text: None,
) -> list[Throughput]:
    """Find each system's size, then let the systems take turns.

    Args:
        systems: each is loaded anew for every turn.
        repeats: turns of each.
        smallest: the batch that the search begins with, unless a sentence is longer.
        most_bytes: what a batch may take on a CPU; None for no bound.
        tell: called with what is being done, in words.

    Raises:
        UserError: a single smallest batch does not fit.
    """
    found: list[list[Attempt]] = []
    for load in systems:
        with load() as system:
            attempt = partial(_attempt, system, device, clock, tell)
            start = max(smallest, system.longest)
            found.append(largest_that_fits(attempt, start) if device == "cuda" else fastest(attempt, start, most_bytes))
    chosen = [_choose(attempts, device) for attempts in found]
    passes: list[list[_Pass]] = [[] for _ in systems]
    for repeat in range(repeats):
        for number in range(len(systems)):
            place = (repeat + number) % len(systems)
            with systems[place]() as system:
                batches = system.batches(chosen[place].size)
                system.translate(batches[0])  # the largest warms up
                passes[place].append(_translate_all(system, batches, device, clock))
            tell(f"turn {repeat + 1} of {repeats}")
    return [
        Throughput(
            size=size.size,
            batches=size.batches,
            ms=[1000 * one.seconds / len(one.translations) for one in turns],
            translations=turns[0].translations,
            peak_bytes=max((one.peak_bytes for one in turns if one.peak_bytes is not None), default=None),
            attempts=attempts,
        )
        for size, turns, attempts in zip(chosen, passes, found, strict=True)
    ]


@dataclass(frozen=True)
class _Pass:
    seconds: float
    translations: dict[int, list[int]]
    peak_bytes: int | None


def _attempt(system: Translates, device: str, clock: str, tell: Callable[[str], object], size: int) -> Attempt:
    tell(f"batches of {size}")
    batches = system.batches(size)
    try:
        made = _translate_all(system, batches, device, clock)
    except torch.cuda.OutOfMemoryError:
        made = None  # what the exception holds is freed with it, before the cache is emptied
    if made is None:
        gc.collect()
        torch.cuda.empty_cache()
        return Attempt(size, len(batches), None, None)
    return Attempt(size, len(batches), made.seconds, made.peak_bytes)


def _choose(attempts: Sequence[Attempt], device: str) -> Attempt:
    fitting = [attempt for attempt in attempts if attempt.fits]
    if not fitting:
        raise UserError(
            f"not even a batch of {attempts[0].size} fits into the GPU's memory: use a smaller model, fp16=true, or "
            "another GPU."
        )
    if device == "cuda":
        return max(fitting, key=lambda attempt: attempt.size)
    return min(fitting, key=lambda attempt: attempt.seconds or 0.0)


def _translate_all(system: Translates, batches: Sequence[Sample], device: str, clock: str) -> _Pass:
    """Every batch once, the one of the longest sentences first: if that fits, the others do."""
    memory = PeakMemory(device)
    memory.start()
    total = 0.0
    translations: dict[int, list[int]] = {}
    for sample in batches:
        elapsed, said = timed(system, sample, device, clock)
        total += elapsed
        translations.update(zip(sample["id"].tolist(), said, strict=True))
    return _Pass(total, translations, memory.rise())
