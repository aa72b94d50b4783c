"""Batches that divide evenly among workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


def split_to_multiple(batches: list[Any], multiple: int) -> list[Any]:
    """Halve the largest batches until their number is a multiple of ``multiple``.

    A worker that gets fewer batches than the others runs a dummy batch, and fairseq then zeroes that worker's whole
    sample size for the update: its tokens would not count. Where too few sentences are left to split, the batches are
    returned as they are.
    """
    batches = list(batches)
    while len(batches) % multiple:
        largest = max(range(len(batches)), key=lambda index: len(batches[index]))
        batch = batches[largest]
        if len(batch) < 2:
            break
        middle = len(batch) // 2
        batches[largest : largest + 1] = [batch[:middle], batch[middle:]]
    return batches


@contextmanager
def even_batches(dataset: Any, num_shards: int) -> Iterator[None]:
    """Within the context, ``dataset.batch_by_size`` returns a multiple of ``num_shards`` batches."""
    if num_shards <= 1:
        yield
        return
    original = dataset.batch_by_size

    def batch_by_size(indices: np.ndarray, *args: Any, **kwargs: Any) -> list[Any]:
        return split_to_multiple(original(indices, *args, **kwargs), num_shards)

    dataset.batch_by_size = batch_by_size
    try:
        yield
    finally:
        del dataset.batch_by_size
