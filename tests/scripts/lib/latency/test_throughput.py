"""Lmax with systems that only pretend to translate."""

from __future__ import annotations

import pytest
import torch

from nat_plugin.errors import UserError
from scripts.lib.latency import throughput
from scripts.lib.latency.throughput import measure_throughput
from tests.scripts.lib.latency.pretended import Clock, System


def test_each_system_with_its_best_batch_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, order = Clock(monkeypatch), []
    overhead = System("a", clock, 1.0, order, fixed=4.0)  # the larger the batch the better
    plain = System("b", clock, 0.5, order)
    told: list[str] = []
    found = measure_throughput([overhead.load, plain.load], repeats=2, device="cpu", smallest=2, tell=told.append)
    assert [(one.size, one.batches) for one in found] == [(16, 1), (2, 5)]
    assert [one.ms for one in found] == [[1400.0, 1400.0], [500.0, 500.0]]
    assert found[0].translations == {number: [number, 1] for number in range(10)}
    assert [attempt.size for attempt in found[0].attempts] == [2, 4, 8, 16]
    # searched once, and once a repeat, the other one first in the second
    assert (overhead.loaded, plain.loaded) == (3, 3)
    everything = "0,1,2,3,4,5,6,7,8,9"
    turns = [line for line in order if line in (f"a{everything}", "b8,9")]
    assert turns[-4:] == [f"a{everything}", "b8,9", "b8,9", f"a{everything}"] or turns[-1] == f"a{everything}"
    assert told[-1] == "turn 2 of 2"


class SmallGpu(System):
    """Five sentences fit."""

    def translate(self, sample: dict[str, torch.Tensor]) -> list[list[int]]:
        if len(sample["id"]) > self.limit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return super().translate(sample)

    limit = 5


def pretend_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    class Memory:
        def __init__(self, device: str) -> None:
            assert device == "cuda"

        def start(self) -> None: ...

        def rise(self) -> int:
            return 7

    monkeypatch.setattr(throughput, "PeakMemory", Memory)
    monkeypatch.setattr("scripts.lib.measuring.timing.synchronize", lambda device: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)


def test_on_a_gpu_the_largest_batch_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cuda(monkeypatch)
    system = SmallGpu("a", Clock(monkeypatch), 1.0, [])
    [found] = measure_throughput([system.load], repeats=3, device="cuda", smallest=1)
    assert (found.size, found.batches, found.peak_bytes) == (5, 2, 7)
    assert [(attempt.size, attempt.fits) for attempt in found.attempts] == [
        *((1, True), (2, True), (4, True), (8, False), (6, False), (5, True))
    ]


def test_a_gpu_that_takes_nothing_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cuda(monkeypatch)
    system = SmallGpu("a", Clock(monkeypatch), 1.0, [])
    system.limit = 0
    with pytest.raises(UserError, match="not even a batch of 1 fits"):
        measure_throughput([system.load], repeats=1, device="cuda", smallest=1)
