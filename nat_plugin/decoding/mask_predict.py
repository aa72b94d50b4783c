"""Filling a canvas, in one pass or by mask-predict (Ghazvininejad et al. 2019, §4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from nat_plugin.canvas.masking import ranks
from nat_plugin.padding import length_mask


class FilledCanvas(NamedTuple):
    """Attributes:
    tokens: [B, m] int64.
    scores: [B, m] log-probabilities, nats.
    steps: [B] int64, decoder passes until the sentence was finished.
    history: one (tokens, scores) a pass, when asked for.
    """

    tokens: Tensor
    scores: Tensor
    steps: Tensor
    history: list[tuple[Tensor, Tensor]]


def mask_predict(
    predict: Callable[[Tensor], tuple[Tensor, Tensor]],
    lengths: Tensor,
    *,
    mask_idx: int,
    iterations: int,
    stop_when_unchanged: bool = False,
    remask_neighbours: bool = False,
    keep_history: bool = False,
) -> FilledCanvas:
    """Fill canvases of the given lengths in ``iterations`` decoder passes; 1 is one-pass decoding.

    Pass 0 predicts every slot. Before pass t, of T in all, the floor(m·(T-t)/T) slots of lowest probability, at least
    one, are masked again; only they get a new token and a new score.

    Args:
        predict: from slot tokens [B, m] to the best token of each slot and its log-probability, [B, m] each.
        lengths: [B], slots of each canvas.
        mask_idx: the id of ``<mask>``.
        stop_when_unchanged: a canvas that a pass left as it was keeps its tokens from then on, and the loop ends when
            all have; whether one is finished does not depend on the others in its batch.
        remask_neighbours: as many slots are masked again, but those of lowest probability together with the slots
            beside them (Guo et al. 2020, §4.4), see :func:`lowest_with_neighbours`.
        keep_history: return every pass's tokens and scores.
    """
    width = int(lengths.max())
    real = length_mask(lengths, width)
    choose = lowest_with_neighbours if remask_neighbours else lowest
    slots = torch.full((lengths.size(0), width), mask_idx, dtype=torch.int64, device=lengths.device)
    tokens, scores = predict(slots)
    steps = torch.ones_like(lengths)
    finished = torch.zeros_like(lengths, dtype=torch.bool)
    history = [(tokens, scores)] if keep_history else []
    for step in range(1, iterations):
        counts = (lengths * (iterations - step)).div(iterations, rounding_mode="floor").clamp(min=1)
        masked = choose(scores, counts, real) & ~finished.unsqueeze(1)
        new_tokens, new_scores = predict(tokens.masked_fill(masked, mask_idx))
        updated = torch.where(masked, new_tokens, tokens)
        steps = torch.where(finished, steps, steps + 1)
        if stop_when_unchanged:
            finished = finished | ((updated == tokens) | ~real).all(1)
        tokens, scores = updated, torch.where(masked, new_scores, scores)
        if keep_history:
            history.append((tokens, scores))
        if stop_when_unchanged and bool(finished.all()):
            break
    return FilledCanvas(tokens, scores, steps, history)


def lowest(scores: Tensor, counts: Tensor, real: Tensor) -> Tensor:
    """The ``counts`` [B] real slots of lowest score in each sentence: [B, m] bool; the earlier one where scores tie."""
    return (ranks(scores, real) < counts.unsqueeze(1)) & real


def lowest_with_neighbours(scores: Tensor, counts: Tensor, real: Tensor) -> Tensor:
    """The ``counts`` [B] real slots that come first when slots of low score bring their neighbours along: [B, m] bool.

    From the lowest score upwards each slot is taken, and then the slots beside it that are not taken yet, the one of
    lower score first. A slot that was taken as a neighbour brings its own neighbours along in its turn.
    """
    rank = ranks(scores, real)
    width = rank.size(1)
    around = torch.nn.functional.pad(rank, (1, 1), value=width).unfold(1, 3, 1)  # padding's ranks are the last ones
    turn = around.amin(2)  # when a slot is taken: by itself or as a neighbour
    order = (turn * 2 + (turn != rank)) * width + rank
    return (ranks(order, real) < counts.unsqueeze(1)) & real
