"""How sure a model is of where its tokens belong: Figure 3 of Ghazvininejad et al. 2020.

Every slot of a canvas says its most probable token. The probability of that token in the slots around it tells whether
the model has decided on a position, or hedges its bets between neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nat_plugin.alignments import slot_log_probs
from nat_plugin.padding import length_mask

_LOGITS_AT_ONCE = 2**24  # a single-precision copy of so many is bearable


class SlotConfidence(NamedTuple):
    """What the slots of a batch say, and how surely.

    Attributes:
        tokens: [B, m] int64, the most probable token of each slot.
        probabilities: [B, m, m], what slot j (the second index) gives the token of slot i (the third).
        entropies: [B, m], of each slot's distribution, nats.
    """

    tokens: Tensor
    probabilities: Tensor
    entropies: Tensor


def slot_confidence(logits: Tensor, lengths: Tensor, excluded: Tensor) -> SlotConfidence:
    """The tokens of canvases, and their probabilities in all slots of their sentence.

    Args:
        logits: [B, m, V].
        lengths: [B], slots of each sentence; beyond them the result means nothing.
        excluded: [K] int64, tokens that no slot may say; they still count in the normaliser.
    """
    tokens = logits.index_fill(2, excluded, float("-inf")).argmax(2)
    rows = logits.flatten(0, 1).split(max(1, _LOGITS_AT_ONCE // logits.size(2)))
    entropies = torch.cat([torch.special.entr(piece.float().softmax(1)).sum(1) for piece in rows])
    return SlotConfidence(tokens, slot_log_probs(logits, tokens, lengths).of_tokens.exp(), entropies.view(tokens.shape))


@dataclass(frozen=True)
class DistancePoint:
    """One point of Figure 3.

    Attributes:
        distance: of the slot that is asked from the one that says the token, in slots; negative to the left.
        probability: mean over all such pairs; None without any.
        pairs: how many there are.
    """

    distance: int
    probability: float | None
    pairs: int


@dataclass(frozen=True)
class PlacePoint:
    """The slots in one part of their sentences.

    Attributes:
        place: the middle of the part, 0 (the beginning) to 1.
        probability: mean of what they give their own token; None where none says one.
        entropy: mean, nats, of the same slots.
        tokens: how many say a token.
        slots: how many there are; the others say blank.
    """

    place: float
    probability: float | None
    entropy: float | None
    tokens: int
    slots: int


@dataclass(frozen=True)
class PositionConfidence:
    """Over the sentences of one group."""

    sentences: int
    slots: int
    tokens: int
    """Slots that say a token, not blank: only these are asked for their probabilities."""
    distances: tuple[DistancePoint, ...]
    places: tuple[PlacePoint, ...]


class ConfidenceSums:
    """Adds up batches, each sentence in its group.

    Args:
        groups: how many.
        distance: the largest one.
        places: in how many parts a sentence is cut.
    """

    def __init__(self, groups: int, distance: int, places: int) -> None:
        self._distance, self._places = distance, places
        self._sentences = torch.zeros(groups, dtype=torch.int64)
        near, parts = (groups, 2 * distance + 1), (groups, places)
        self._near, self._pairs = torch.zeros(near, dtype=torch.float64), torch.zeros(near, dtype=torch.int64)
        self._own, self._entropies = (torch.zeros(parts, dtype=torch.float64) for _ in range(2))
        self._tokens, self._slots = (torch.zeros(parts, dtype=torch.int64) for _ in range(2))

    def add(self, found: SlotConfidence, lengths: Tensor, groups: Tensor, blank_idx: int) -> None:
        """A batch.

        Args:
            lengths: [B], slots of each sentence.
            groups: [B] int64, the group of each.
            blank_idx: what a slot says that stands for no token.
        """
        groups = groups.cpu()
        real = length_mask(lengths, found.tokens.size(1))
        said = real & found.tokens.ne(blank_idx)
        self._sentences.index_add_(0, groups, torch.ones_like(groups))
        for column, distance in enumerate(range(-self._distance, self._distance + 1)):
            if abs(distance) < found.tokens.size(1):
                self._add_distance(column, distance, found.probabilities, said, real, groups)
        self._add_places(found, lengths, said, real, groups)

    def _add_distance(
        self, column: int, distance: int, probabilities: Tensor, said: Tensor, real: Tensor, groups: Tensor
    ) -> None:
        """Slots j = i + ``distance``, for all i that say a token."""
        width = said.size(1)
        first, end = max(0, -distance), width - max(0, distance)
        pairs = said[:, first:end] & real[:, first + distance : end + distance]
        values = probabilities.diagonal(-distance, 1, 2).double().masked_fill(~pairs, 0.0)
        self._near[:, column].index_add_(0, groups, values.sum(1).cpu())
        self._pairs[:, column].index_add_(0, groups, pairs.sum(1).cpu())

    def _add_places(self, found: SlotConfidence, lengths: Tensor, said: Tensor, real: Tensor, groups: Tensor) -> None:
        middles = 2 * torch.arange(said.size(1), device=said.device) + 1
        place = (
            (middles * self._places).div(2 * lengths.unsqueeze(1), rounding_mode="floor").clamp(max=self._places - 1)
        )
        index = (groups.unsqueeze(1) * self._places + place.cpu()).flatten()
        own = found.probabilities.diagonal(0, 1, 2)
        for total, values, counted in (
            (self._own, own.double(), said),
            (self._entropies, found.entropies.double(), said),
            (self._tokens, torch.ones_like(found.tokens), said),
            (self._slots, torch.ones_like(found.tokens), real),
        ):
            total.view(-1).index_add_(0, index, values.masked_fill(~counted, 0).flatten().cpu())

    def result(self) -> list[PositionConfidence]:
        """One a group."""
        return [self._of_group(group) for group in range(len(self._sentences))]

    def _of_group(self, group: int) -> PositionConfidence:
        tokens, slots = self._tokens[group].tolist(), self._slots[group].tolist()
        own, entropies = self._own[group].tolist(), self._entropies[group].tolist()
        near, pairs = self._near[group].tolist(), self._pairs[group].tolist()
        return PositionConfidence(
            sentences=int(self._sentences[group]),
            slots=sum(slots),
            tokens=sum(tokens),
            distances=tuple(
                DistancePoint(distance, _mean(near[column], pairs[column]), pairs[column])
                for column, distance in enumerate(range(-self._distance, self._distance + 1))
            ),
            places=tuple(
                PlacePoint(
                    (number + 0.5) / self._places,
                    _mean(own[number], tokens[number]),
                    _mean(entropies[number], tokens[number]),
                    tokens[number],
                    slots[number],
                )
                for number in range(self._places)
            ),
        )


def _mean(total: float, count: int) -> float | None:
    return total / count if count else None
