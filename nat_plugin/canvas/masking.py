"""Which target tokens the decoder does not see in training."""

from __future__ import annotations

import torch
from torch import Tensor

from nat_plugin.canvas.random import sentence_uniform

_COUNT_STREAM, _CHOICE_STREAM = 1, 2


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
    count_draw = sentence_uniform(seed, update, sentence_ids, 1, _COUNT_STREAM).squeeze(1)
    counts = 1 + (count_draw * lengths).floor().to(torch.int64)
    order = sentence_uniform(seed, update, sentence_ids, width, _CHOICE_STREAM)
    real = length_mask(lengths, width)
    ranks = order.masked_fill(~real, 2.0).argsort(1).argsort(1)  # padding comes last
    return (ranks < counts.unsqueeze(1)) & real
