"""Which target tokens the decoder does not see in training."""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor

from nat_plugin.canvas.random import Stream, sentence_uniform
from nat_plugin.padding import length_mask

# A slot of no weight is still chosen where the others do not suffice; at random, like any other.
LEAST_WEIGHT = 1e-30


def uniform_mask(lengths: Tensor, width: int, *, seed: int, update: int, sentence_ids: Tensor, span: int = 1) -> Tensor:
    """CMLM's masks (Ghazvininejad et al. 2019): their number is uniform on 1..n, their places are uniform.

    Args:
        lengths: [B], n of each sentence, at least 1.
        width: the padded length.
        span: mask sets of so many neighbours, see :func:`choose_spans`; their total stays uniform on 1..n.
        seed, update, sentence_ids: what the draw depends on, see :mod:`nat_plugin.canvas.random`.

    Returns:
        [B, width] bool, True where the token is masked.
    """
    count_draw = sentence_uniform(seed, update, sentence_ids, 1, Stream.MASK_COUNT).squeeze(1)
    counts = 1 + (count_draw * lengths).floor().to(torch.int64)
    return choose_spans(counts, lengths, width, span=span, seed=seed, update=update, sentence_ids=sentence_ids)


def choose_slots(
    counts: Tensor,
    lengths: Tensor,
    width: int,
    *,
    seed: int,
    update: int,
    sentence_ids: Tensor,
    weights: Optional[Tensor] = None,
    stream: Stream = Stream.SLOT_CHOICE,
) -> Tensor:
    """Draw ``counts`` [B] different slots of each sentence, one after the other, without regard to the padding.

    Args:
        lengths: [B], slots of each sentence.
        width: the padded length.
        seed, update, sentence_ids: what the draw depends on, see :mod:`nat_plugin.canvas.random`.
        weights: [B, width], 0 or more: each draw takes a slot that is left with a probability proportional to its
            weight (the smallest of exponential variables with these rates come first); None for uniform draws.
        stream: what the draw is for.

    Returns:
        [B, width] bool, True at the slots drawn.
    """
    order = sentence_uniform(seed, update, sentence_ids, width, stream)
    if weights is not None:
        order = -order.log() / weights.to(order.dtype).clamp(min=LEAST_WEIGHT)
    real = length_mask(lengths, width)
    return (ranks(order, real) < counts.unsqueeze(1)) & real


def choose_spans(
    counts: Tensor, lengths: Tensor, width: int, *, span: int, seed: int, update: int, sentence_ids: Tensor
) -> Tensor:
    """Draw ``counts`` [B] slots of each sentence as sets of ``span`` neighbours (Guo et al. 2020, §4.2).

    The sets, and every slot outside them, are put into a random order: each arrangement of sets that do not overlap is
    as probable as any other. Where ``span`` does not divide the count one set is shorter. Sets may come to lie side by
    side. With a span of 1 the slots are those of :func:`choose_slots`.

    Args:
        lengths: [B], slots of each sentence, at least ``counts``.
        width: the padded length.
        span: slots of a set, at least 1.
        seed, update, sentence_ids: what the draw depends on, see :mod:`nat_plugin.canvas.random`.

    Returns:
        [B, width] bool, True at the slots drawn.
    """
    sets = (counts + span - 1) // span
    pieces = lengths - counts + sets  # a piece is a set, or a slot outside
    is_piece = length_mask(pieces, width)
    rank = ranks(sentence_uniform(seed, update, sentence_ids, width, Stream.SLOT_CHOICE), is_piece)
    is_set = rank < sets.unsqueeze(1)
    sizes = torch.where(is_set, span, 1)
    shorter = (counts - span * (sets - 1)).unsqueeze(1)
    sizes = torch.where(rank == sets.unsqueeze(1) - 1, shorter, sizes).masked_fill(~is_piece, 0)
    places = torch.arange(width, device=lengths.device).expand_as(sizes).contiguous()
    piece = torch.searchsorted(sizes.cumsum(1), places, right=True).clamp(max=width - 1)
    return is_set.gather(1, piece) & length_mask(lengths, width)


def ranks(values: Tensor, real: Tensor) -> Tensor:
    """The place of each slot in ascending order, [B, m] int64 from 0; equal values in their order, padding last.

    Args:
        values: [B, m].
        real: [B, m] bool, False at padding.
    """
    largest = float("inf") if values.is_floating_point() else torch.iinfo(values.dtype).max
    return values.masked_fill(~real, largest).argsort(dim=1, stable=True).argsort(dim=1)
