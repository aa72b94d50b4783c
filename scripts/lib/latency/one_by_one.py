"""L1: the time from one source sentence to its translation, each sentence alone.

Systems take turns, a block of sentences each, so that a machine whose speed drifts is equally slow for all. A block is
long enough that a small model is not only ever seen with another one's weights in the caches, and its first sentence is
translated once before without a look at the clock.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scripts.lib.latency.translator import Sample, Translates, timed
from scripts.lib.measuring.memory import PeakMemory


@dataclass(frozen=True)
class OneByOne:
    """What one system needed.

    Attributes:
        ms: [repeats][sentences], milliseconds.
        translations: of each sentence, token ids.
        peak_bytes: the most that translating took beyond what was held before; None where the system cannot say.
    """

    ms: list[list[float]]
    translations: list[list[int]]
    peak_bytes: int | None

    @property
    def means(self) -> list[float]:
        """Milliseconds a sentence in each repeat."""
        return [sum(repeat) / len(repeat) for repeat in self.ms]


def measure_one_by_one(
    systems: Sequence[Translates],
    sentences: Sequence[Sequence[Sample]],
    *,
    repeats: int,
    block: int,
    device: str,
    clock: str = "wall",
    tell: Callable[[int], object] = lambda done: None,
) -> list[OneByOne]:
    """Translate every sentence with every system, ``repeats`` times, after :func:`warm_up`.

    Args:
        sentences: of each system, one a sample; the same sentences for all.
        block: sentences that a system translates before the next one's turn.
        device: ``cpu`` or ``cuda``, which is waited for.
        clock: see :func:`scripts.lib.measuring.timing.seconds`.
        tell: called with the number of sentences done since the last call.
    """
    blocks: list[list[_Block]] = [[] for _ in systems]
    count = len(sentences[0])
    for repeat in range(repeats):
        for number, start in enumerate(range(0, count, block)):
            for place in _turns(len(systems), repeat + number):
                samples = sentences[place][start : start + block]
                blocks[place].append(_translate_block(systems[place], samples, device, clock))
                tell(len(samples))
    return [_joined(of_one, repeats) for of_one in blocks]


class _Block(NamedTuple):
    ms: list[float]
    translations: list[list[int]]
    peak_bytes: int | None


def _translate_block(system: Translates, samples: Sequence[Sample], device: str, clock: str) -> _Block:
    memory = PeakMemory(device)
    memory.start()
    system.translate(samples[0])
    gc.disable()  # a collection would fall on whichever sentence comes first
    try:
        done = [timed(system, sample, device, clock) for sample in samples]
    finally:
        gc.enable()
    return _Block([1000 * elapsed for elapsed, _ in done], [said[0] for _, said in done], memory.rise())


def _joined(blocks: Sequence[_Block], repeats: int) -> OneByOne:
    """The blocks of one system, in the order they were made, as one result."""
    each = len(blocks) // repeats
    turns = [blocks[first : first + each] for first in range(0, len(blocks), each)]
    return OneByOne(
        ms=[[ms for block in turn for ms in block.ms] for turn in turns],
        translations=[said for block in turns[0] for said in block.translations],
        peak_bytes=max((block.peak_bytes for block in blocks if block.peak_bytes is not None), default=None),
    )


def warm_up(systems: Sequence[Translates], sentences: Sequence[Sequence[Sample]], count: int) -> None:
    """Translate ``count`` sentences from all over the list with each system, without a look at the clock."""
    for system, samples in zip(systems, sentences, strict=True):
        step = max(1, len(samples) // max(1, count))
        for sample in samples[::step][:count]:
            system.translate(sample)


def _turns(systems: int, first: int) -> list[int]:
    """Every system once; another one begins each time."""
    return [(first + place) % systems for place in range(systems)]
