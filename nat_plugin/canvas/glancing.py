"""Which slots a training canvas reveals, when that depends on what a first pass over masked slots predicts.

Glancing (Qian et al. 2021; Gu & Kong 2021, §3.4): the worse the first prediction ŷ, the more of the proxy target t is
shown in the second pass, ratio · D(ŷ, t) of its tokens. The proxy target has one token a slot: the target itself, or
the slot sequence of the best alignment with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Optional

import torch
from torch import Tensor

from nat_plugin.canvas.masking import choose_slots, uniform_mask
from nat_plugin.canvas.random import Stream, sentence_uniform
from nat_plugin.canvas.schedule import Schedule
from nat_plugin.padding import length_mask

_ROUNDING = 1e-9  # 0.29 · 100 is a little less than 29
_LOGITS_AT_ONCE = 2**24  # a single-precision copy of so many is bearable


class FirstPass(NamedTuple):
    """What the pass over a fully masked canvas tells.

    Attributes:
        proxy: [B, m] int64, the token that each slot is held against.
        predictions: [B, m] int64, the most probable tokens.
        probabilities: [B, m], that of each proxy token; None where the choice of slots does not need it.
    """

    proxy: Tensor
    predictions: Tensor
    probabilities: Optional[Tensor]


@dataclass(frozen=True)
class Revealing:
    """How many slots are revealed, and which.

    Attributes:
        masking: ``full``, none is; ``uniform``, CMLM's masks; ``fixed_ratio``, ratio · m slots are; ``glancing``,
            ratio · D.
        ratio: its value depends on the update.
        distance: D, ``hamming`` or ``levenshtein``.
        count: ``floor`` of ratio · D, or ``poisson``, a Poisson variable with that mean (Gu & Kong 2021, §3.4).
        choice: ``uniform``; ``p_ref``, by the probability of the slot's proxy token in the first pass; or
            ``one_minus_p_ref`` (Huang et al. 2022, §E.6).
        span: ``uniform`` hides sets of so many neighbours (Guo et al. 2020, §4.2).
    """

    masking: str
    ratio: Schedule
    distance: str = "hamming"
    count: str = "floor"
    choice: str = "uniform"
    span: int = 1

    @property
    def by_prediction(self) -> bool:
        """Whether a first pass has to say what is revealed, even where the slots are the target's own."""
        return self.masking == "glancing" or (self.masking == "fixed_ratio" and self.by_probability)

    @property
    def by_probability(self) -> bool:
        """Whether :attr:`FirstPass.probabilities` are needed."""
        return self.masking in ("glancing", "fixed_ratio") and self.choice != "uniform"

    @property
    def hides_one(self) -> bool:
        """Whether every canvas of every update hides a single slot."""
        return self.masking == "fixed_ratio" and self.count == "floor" and self.ratio.within(1.0, 1.0)

    def masked(
        self, lengths: Tensor, width: int, first: Optional[FirstPass], *, seed: int, update: int, sentence_ids: Tensor
    ) -> Tensor:
        """The slots that stay hidden, at least one of each sentence: [B, width] bool.

        Args:
            lengths: [B], slots of each sentence, at least 1.
            width: slots of the padded canvas.
            first: needed where :attr:`by_prediction`.
            seed, update, sentence_ids: what the draws depend on, see :mod:`nat_plugin.canvas.random`.
        """
        if self.masking == "full":
            return length_mask(lengths, width)
        if self.masking == "uniform":
            return uniform_mask(lengths, width, seed=seed, update=update, sentence_ids=sentence_ids, span=self.span)
        expected = self.expected_counts(first, lengths, update)
        if self.count == "poisson":
            uniform = sentence_uniform(seed, update, sentence_ids, 1, Stream.REVEALED_COUNT).squeeze(1)
            counts = poisson_counts(expected, uniform, width)
        else:
            counts = floored_counts(expected)
        revealed = choose_slots(
            torch.minimum(counts, lengths - 1),
            lengths,
            width,
            seed=seed,
            update=update,
            sentence_ids=sentence_ids,
            weights=self.choice_weights(first),
        )
        return length_mask(lengths, width) & ~revealed

    def expected_counts(self, first: Optional[FirstPass], lengths: Tensor, update: int) -> Tensor:
        """ratio · D, or ratio · m: how many slots ``glancing`` or ``fixed_ratio`` is to reveal, [B] float64.

        Args:
            first, lengths, update: as in :meth:`masked`.
        """
        errors = lengths if self.masking == "fixed_ratio" else self._distance(first, lengths)
        return self.ratio.at(update) * errors.to(torch.float64)

    def choice_weights(self, first: Optional[FirstPass]) -> Optional[Tensor]:
        """What the slots are drawn in proportion to, [B, m]; None where all are alike."""
        if not self.by_probability:
            return None
        assert first is not None
        assert first.probabilities is not None
        return first.probabilities if self.choice == "p_ref" else (1 - first.probabilities).clamp(min=0)

    def _distance(self, first: Optional[FirstPass], lengths: Tensor) -> Tensor:
        assert first is not None
        if self.distance == "levenshtein":
            return levenshtein_distance(first.predictions, first.proxy, lengths, lengths)
        return hamming_distance(first.predictions, first.proxy, lengths)


def hamming_distance(first: Tensor, second: Tensor, lengths: Tensor) -> Tensor:
    """In how many of its ``lengths`` [B] places a sentence differs: [B] int64, from two [B, m] int64."""
    return (first.ne(second) & length_mask(lengths, first.size(1))).sum(1)


def levenshtein_distance(first: Tensor, second: Tensor, first_lengths: Tensor, second_lengths: Tensor) -> Tensor:
    """Least number of tokens to insert, delete or replace between two sentences (Levenshtein 1966): [B] int64.

    Row i of the table holds the distances of the first i tokens to every beginning of the second sentence; within a row
    D[j] = min_k≤j (step[k] + j - k), a running minimum, so that all j and all sentences go together.

    Args:
        first, second: [B, n] and [B, m] int64.
        first_lengths, second_lengths: [B], 0..n and 0..m.
    """
    columns = torch.arange(second.size(1) + 1, device=second.device)
    row = columns.expand(second.size(0), -1)
    for place in range(first.size(1)):
        replaced = row[:, :-1] + second.ne(first[:, place : place + 1])
        deleted = row + 1
        step = torch.cat([deleted[:, :1], torch.minimum(deleted[:, 1:], replaced)], 1)
        inserted = (step - columns).cummin(1).values + columns
        row = torch.where((place < first_lengths).unsqueeze(1), inserted, row)
    return row.gather(1, second_lengths.unsqueeze(1)).squeeze(1)


def floored_counts(expected: Tensor) -> Tensor:
    """``expected`` [B] float64, rounded down: [B] int64."""
    return (expected + _ROUNDING).floor().to(torch.int64)


def poisson_counts(means: Tensor, uniform: Tensor, most: int) -> Tensor:
    """Poisson variables from uniform ones, by the inverse of their distribution function: [B] int64.

    Args:
        means: [B] float64, 0 or more.
        uniform: [B] float64 in [0, 1).
        most: a larger outcome counts as this one.
    """
    outcomes = torch.arange(most, dtype=torch.float64, device=means.device)
    means = means.unsqueeze(1)
    log_probabilities = torch.xlogy(outcomes, means) - means - torch.lgamma(outcomes + 1)
    return (log_probabilities.exp().cumsum(1) <= uniform.unsqueeze(1)).sum(1)


def probabilities_of(logits: Tensor, tokens: Tensor) -> Tensor:
    """The probability of one token a slot, [B, m] float32, from logits [B, m, V] in any precision."""
    rows = max(1, _LOGITS_AT_ONCE // logits.size(2))
    pieces = [
        piece.gather(1, chosen.unsqueeze(1)).squeeze(1).float() - piece.float().logsumexp(1)
        for piece, chosen in zip(logits.flatten(0, 1).split(rows), tokens.flatten().split(rows), strict=True)
    ]
    return torch.cat(pieces).view_as(tokens).exp()
