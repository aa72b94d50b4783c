"""Workers that load data end with the epoch they served, though each epoch makes an iterator of its own."""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections.abc import Iterator

import pytest
import torch
from fairseq.data.iterators import EpochBatchIterator

import nat_plugin


class Numbers(torch.utils.data.Dataset[int]):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, place: int) -> int:
        return place


def make_iterator(epoch: int, workers: int = 1) -> EpochBatchIterator:
    batches = [[0, 1], [2, 3], [4, 5]]
    return EpochBatchIterator(Numbers(), list, batches, num_workers=workers, epoch=epoch, buffer_size=2)


@pytest.fixture
def uncollected() -> Iterator[None]:
    """As between two collections of old garbage, which may be hours apart in a training."""
    nat_plugin.register()
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def workers_left(expected: int, seconds: float = 20) -> int:
    """How many there are once they are as few as expected: the thread that buffers holds an iterator a moment more."""
    end = time.monotonic() + seconds
    while len(multiprocessing.active_children()) > expected and time.monotonic() < end:
        time.sleep(0.02)
    return len(multiprocessing.active_children())


def test_workers_end_with_their_iterator(uncollected: None) -> None:
    before = len(multiprocessing.active_children())
    for epoch in range(1, 4):
        iterator = make_iterator(epoch)
        assert sorted(number for batch in iterator.next_epoch_itr() for number in batch) == list(range(6))
        assert workers_left(before + 1) == before + 1
    del iterator
    assert workers_left(before) == before


def test_an_epoch_goes_on_when_its_iterator_is_gone(uncollected: None) -> None:
    """As in fairseq's validation, which keeps the epoch alone."""
    epoch = make_iterator(1).next_epoch_itr(shuffle=False)
    assert list(epoch) == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize("workers", [0, 1])
def test_one_iterator_still_serves_several_epochs(workers: int, uncollected: None) -> None:
    iterator = make_iterator(1, workers)
    iterator.reuse_dataloader = True
    orders = [list(iterator.next_epoch_itr()) for _ in range(5)]
    assert all(sorted(order) == [[0, 1], [2, 3], [4, 5]] for order in orders)
    assert len({str(order) for order in orders}) > 1
