"""Which target tokens the decoder does not see in training."""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor

from nat_plugin.canvas.random import Stream, sentence_uniform

# A slot of no weight is still chosen where the others do not suffice; at random, like any other.
_LEAST_WEIGHT = 1e-30


def length_mask(lengths: Tensor, width: int) -> Tensor:
    """[B, width] bool, True at the first ``lengths[b]`` places."""
    return torch.arange(width, device=lengths.device) < lengths.unsqueeze(1)


def full_mask(lengths: Tensor, width: int) -> Tensor:
    """Every token is masked: [B, width] bool."""
    return length_mask(lengths, width)


def uniform_mask(lengths: Tensor, width: int, *, seed: int, update: int, sentence_ids: Tensor) -> Tensor:
    """CMLM's masks (Ghazvininejad et al. 2019): their number is uniform on 1..n, their places are uniform.

    Args:
        lengths: [B], n of each sentence, at least 1.
        width: the padded length.
        seed, update, sentence_ids: what the draw depends on, see :mod:`nat_plugin.canvas.random`.

    Returns:
        [B, width] bool, True where the token is masked.
    """
    count_draw = sentence_uniform(seed, update, sentence_ids, 1, Stream.MASK_COUNT).squeeze(1)
    counts = 1 + (count_draw * lengths).floor().to(torch.int64)
    return choose_slots(counts, lengths, width, seed=seed, update=update, sentence_ids=sentence_ids)


def choose_slots(
    counts: Tensor,
    lengths: Tensor,
    width: int,
    *,
    seed: int,
    update: int,
    sentence_ids: Tensor,
    weights: Optional[Tensor] = None,
) -> Tensor:
    """Draw ``counts`` [B] different slots of each sentence, one after the other, without regard to the padding.

    Args:
        lengths: [B], slots of each sentence.
        width: the padded length.
        seed, update, sentence_ids: what the draw depends on, see :mod:`nat_plugin.canvas.random`.
        weights: [B, width], 0 or more: each draw takes a slot that is left with a probability proportional to its
            weight (the smallest of exponential variables with these rates come first); None for uniform draws.

    Returns:
        [B, width] bool, True at the slots drawn.
    """
    order = sentence_uniform(seed, update, sentence_ids, width, Stream.SLOT_CHOICE)
    if weights is not None:
        order = -order.log() / weights.to(order.dtype).clamp(min=_LEAST_WEIGHT)
    real = length_mask(lengths, width)
    ranks = order.masked_fill(~real, float("inf")).argsort(dim=1, stable=True).argsort(1)  # padding comes last
    return (ranks < counts.unsqueeze(1)) & real
