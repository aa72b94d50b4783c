"""Which words of a source are disturbed, and sentences with words dropped or replaced (Guo et al. 2020, §5.3.1).

The paper: "Given the noise ratio α, we randomly select ⌊α·T_x⌋ source tokens" (⌊·⌋ is rounding there) "and either drop
or replace them with other tokens in the vocabulary". Tokens are what the model reads, subwords; the end marker is none
of them. Every draw depends on the seed and on the sentence's own tokens alone (:mod:`nat_plugin.canvas.random`), so
that no batch changes it, and a higher ratio disturbs the words of a lower one and some more.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal, get_args

import torch
from torch import Tensor

from nat_plugin.canvas.masking import choose_slots
from nat_plugin.canvas.random import sentence_uniform
from nat_plugin.canvas.substitution import places_among

WordNoise = Literal["drop", "replace", "drop_or_replace"]
WORD_NOISES: tuple[WordNoise, ...] = get_args(WordNoise)


class NoiseStream(IntEnum):
    """What a draw is for, apart from those of training and decoding in :class:`nat_plugin.canvas.random.Stream`."""

    OTHER_WORD = 101
    WHETHER_DROPPED = 102
    VALUES = 103


def disturbed_counts(lengths: Tensor, rate: float) -> Tensor:
    """round(α·T), halves upwards: any shape, int64.

    Args:
        lengths: T, words without the end marker.
        rate: α, 0 to 1.
    """
    # α·T of a decimal α may end just below a half: .07 · 50 does
    return (lengths.to(torch.float64) * rate + 0.5 + 1e-9).floor().to(torch.int64)


def choose_words(words: Tensor, rate: float, *, seed: int, draw: int, sentence_ids: Tensor) -> Tensor:
    """round(α·T) different words of each sentence.

    Args:
        words: [B, S] bool, True at words: neither padding, on whichever side it is, nor the end marker.
        rate: α, 0 to 1.
        seed, draw, sentence_ids: what the choice depends on, with the place of a word in its sentence.

    Returns:
        [B, S] bool.
    """
    lengths = words.sum(1)
    chosen = choose_slots(
        disturbed_counts(lengths, rate), lengths, words.size(1), seed=seed, update=draw, sentence_ids=sentence_ids
    )
    return at_words(chosen, words) & words


def at_words(values: Tensor, words: Tensor) -> Tensor:
    """What belongs to the first, second, … word, moved to where that word stands.

    Args:
        values: [B, S] or [B, S, …], by number of the word.
        words: [B, S] bool.

    Returns:
        As ``values``; meaningless where there is no word.
    """
    numbers = places_among(words)
    return values.gather(1, numbers.view(*numbers.shape, *(1,) * (values.dim() - 2)).expand_as(values))


def disturb_words(
    tokens: Tensor,
    words: Tensor,
    rate: float,
    noise: WordNoise,
    *,
    vocabulary: Tensor,
    seed: int,
    draw: int,
    sentence_ids: Tensor,
) -> tuple[Tensor, Tensor]:
    """Drop words, or put others in their place.

    ``drop`` and ``replace`` do one of the two to every chosen word, ``drop_or_replace`` either at even odds. At least
    one word of a sentence stays; it is replaced where all were to be dropped.

    Args:
        tokens: [B, S] int64.
        words, rate, seed, draw, sentence_ids: as in :func:`choose_words`.
        vocabulary: [K] int64, the words that may stand in for others, at least 2; each is as likely, the word itself is
            not taken.

    Returns:
        tokens: [B, S] int64, with others in place of the replaced words.
        kept: [B, S] bool, False at the words to leave out.
    """
    chosen = choose_words(words, rate, seed=seed, draw=draw, sentence_ids=sentence_ids)
    width, lengths = tokens.size(1), words.sum(1, keepdim=True)
    dropped = chosen
    if noise == "replace":
        dropped = torch.zeros_like(chosen)
    elif noise == "drop_or_replace":
        coin = sentence_uniform(seed, draw, sentence_ids, width, NoiseStream.WHETHER_DROPPED)
        dropped = chosen & (at_words(coin, words) < 0.5)
    first = words & words.cumsum(1).eq(1)
    dropped = dropped & ~(first & dropped.sum(1, keepdim=True).eq(lengths))
    drawn = at_words(sentence_uniform(seed, draw, sentence_ids, width, NoiseStream.OTHER_WORD), words)
    others = _another(tokens, drawn, vocabulary)
    return torch.where(chosen & ~dropped, others, tokens), ~dropped


def _another(tokens: Tensor, uniform: Tensor, vocabulary: Tensor) -> Tensor:
    """For each token a word of ``vocabulary`` that it is not, by numbers in [0, 1)."""
    ordered = vocabulary.sort().values
    places = torch.searchsorted(ordered, tokens.contiguous())
    inside = ordered[places.clamp(max=len(ordered) - 1)].eq(tokens)
    # one fewer to choose from where the token is among them: the last one stands in for it
    picked = (uniform * (len(ordered) - inside.to(uniform.dtype))).floor().to(torch.int64)
    picked = torch.where(inside & (picked >= places), picked + 1, picked)
    return ordered[picked]
