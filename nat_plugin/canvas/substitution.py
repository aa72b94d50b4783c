"""What a masked language model reads in place of the tokens that it has to predict (Devlin et al. 2019, §3.1)."""

from __future__ import annotations

import torch
from torch import Tensor

from nat_plugin.canvas.masking import choose_slots
from nat_plugin.canvas.random import Stream, sentence_uniform

# Of the tokens to be predicted: the share that is hidden, and that which becomes another word. The others stay.
MASKED, REPLACED = 0.8, 0.1


def substitute(tokens: Tensor, chosen: Tensor, uniform: Tensor, *, words: Tensor, mask_idx: int) -> Tensor:
    """80 % of the chosen tokens become ``<mask>``, 10 % a random word, and 10 % stay as they are.

    Args:
        tokens: [B, m] int64.
        chosen: [B, m] bool, the tokens that are to be predicted.
        uniform: [B, m] float64 in [0, 1): what becomes of each, and which word.
        words: [W] int64, the words that a token may become; its own is among them.
        mask_idx: the id of ``<mask>``.

    Returns:
        [B, m] int64; tokens that are not chosen stay.
    """
    hidden = tokens.masked_fill(chosen & (uniform < MASKED), mask_idx)
    replaced = chosen & (uniform >= MASKED) & (uniform < MASKED + REPLACED)
    index = ((uniform - MASKED) / REPLACED * len(words)).to(torch.int64).clamp(0, len(words) - 1)
    return torch.where(replaced, words[index], hidden)


def choose_source_tokens(maskable: Tensor, share: float, *, seed: int, update: int, sentence_ids: Tensor) -> Tensor:
    """The source tokens to be predicted (Guo et al. 2020, §4.1): a share of each sentence, at random places.

    share · S is rounded up or down at random, so that it is the mean in sentences of any length.

    Args:
        maskable: [B, S'] bool, the S tokens of each sentence that may be chosen; whatever lies between or beside them,
            padding on either side for one, changes nothing.
        share: in [0, 1].
        seed, update, sentence_ids: what the draw depends on, see :mod:`nat_plugin.canvas.random`.

    Returns:
        [B, S'] bool.
    """
    lengths, width = maskable.sum(1), maskable.size(1)
    rounding = sentence_uniform(seed, update, sentence_ids, 1, Stream.SOURCE_COUNT).squeeze(1)
    counts = (share * lengths.to(torch.float64) + rounding).floor().to(torch.int64)
    chosen = choose_slots(
        counts,
        lengths,
        width,
        seed=seed,
        update=update,
        sentence_ids=sentence_ids,
        stream=Stream.SOURCE_CHOICE,
    )
    return chosen.gather(1, places_among(maskable)) & maskable


def places_among(real: Tensor) -> Tensor:
    """How many of the ``real`` [B, m] bool come before each of them: [B, m] int64; without meaning for the others."""
    return (real.cumsum(1) - 1).clamp(min=0)
