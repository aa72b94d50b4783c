"""Random numbers that depend on the sentence, not on the batch it happens to be in.

fairseq seeds every worker with seed + update, so ordinary random numbers change with the batch size, the number of
workers and the padding. A hash of (seed, update, sentence id, position) does not: four micro-batches, or two processes,
draw the same masks as one batch.
"""

from __future__ import annotations

from enum import IntEnum

import torch
from torch import Tensor


class Stream(IntEnum):
    """What a draw is for: each purpose has numbers of its own."""

    MASK_COUNT = 1
    SLOT_CHOICE = 2
    REVEALED_COUNT = 3
    LATENT = 4
    SOURCE_COUNT = 5
    SOURCE_CHOICE = 6
    SOURCE_NOISE = 7
    TARGET_NOISE = 8
    INPUT_SAMPLING = 9


def _mix(state: Tensor) -> Tensor:
    """The finaliser of splitmix64, on int64 with wrap-around: flips about half of the bits for any change of input."""
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        state = (state ^ _logical_shift(state, shift)) * factor
    return state ^ _logical_shift(state, 31)


def _logical_shift(value: Tensor, bits: int) -> Tensor:
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def sentence_uniform(seed: int, update: int, sentence_ids: Tensor, count: int, stream: int = 0) -> Tensor:
    """Uniform numbers in [0, 1) for each sentence: [B, count] float64.

    Args:
        seed: the run's seed.
        update: the number of updates so far.
        sentence_ids: [B] int64, the sentence's place in the data set.
        count: how many for each sentence; the first k of them do not depend on it.
        stream: another number gives independent draws for another purpose; ours are in :class:`Stream`.
    """
    golden = -0x61C8864680B583EB  # 2^64 / φ as int64, splitmix64's increment
    device = sentence_ids.device
    head = torch.tensor([seed, update, stream], dtype=torch.int64, device=device)
    state = torch.zeros_like(sentence_ids, dtype=torch.int64)
    for part in (head[0], head[1], head[2], sentence_ids.to(torch.int64)):
        state = _mix(state + golden + part)
    positions = torch.arange(1, count + 1, dtype=torch.int64, device=device)
    bits = _mix(state.unsqueeze(1) + positions * golden)
    return _logical_shift(bits, 11).to(torch.float64) * 2.0**-53


def sentence_normal(seed: int, update: int, sentence_ids: Tensor, count: int, stream: int = 0) -> Tensor:
    """Standard normal numbers for each sentence: [B, count] float64; arguments as in :func:`sentence_uniform`."""
    uniform = sentence_uniform(seed, update, sentence_ids, count, stream)
    largest = 1 - 2.0**-52  # whose inverse is still finite
    return 2**0.5 * torch.erfinv((2 * uniform - 1 + 2.0**-53).clamp(-largest, largest))


def sentence_hash(tokens: Tensor, real: Tensor) -> Tensor:
    """A number for each sentence that depends on its tokens alone, where its place in a data set is unknown.

    Args:
        tokens: [B, S] int64.
        real: [B, S] bool, False at padding, on whichever side that is.

    Returns:
        [B] int64.
    """
    golden = -0x61C8864680B583EB
    places = real.cumsum(1)
    mixed = _mix(_mix(tokens + golden) + places * golden)
    return mixed.masked_fill(~real, 0).sum(1)
