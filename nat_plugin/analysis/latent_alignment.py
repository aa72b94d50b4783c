"""Which position's latent variable a second translation moved where: Figure 6 of Gu & Kong 2021."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

# Of assignments as short as each other but for this share of the largest distance, the one that moves least wins: where
# z says nothing about y all are equally short, and the solver's choice among them would look like reordering.
_PREFERENCE = 1e-7


@dataclass(frozen=True)
class LatentAlignment:
    """The S positions of one sentence x, by z(x, y1) and by z(x, y2).

    Attributes:
        distances: [S, S] float64, Euclidean, from z(x, y1) of a row's position to z(x, y2) of a column's.
        matches: [S] int64, the position whose z(x, y2) each z(x, y1) is assigned to; a permutation.
    """

    distances: np.ndarray
    matches: np.ndarray

    @property
    def to_itself(self) -> np.ndarray:
        """[S], how far each position's z moved."""
        return np.diagonal(self.distances)

    @property
    def to_match(self) -> np.ndarray:
        """[S], how far each z(x, y1) is from the z(x, y2) that it is assigned to."""
        reached: np.ndarray = self.distances[np.arange(len(self.matches)), self.matches]
        return reached

    @property
    def stays(self) -> np.ndarray:
        """[S] bool, whether a position is assigned to itself."""
        unmoved: np.ndarray = self.matches == np.arange(len(self.matches))
        return unmoved

    @property
    def displacements(self) -> np.ndarray:
        """[S] int64, how many places away the assigned position is."""
        return np.abs(self.matches - np.arange(len(self.matches)))


def align_latents(first: np.ndarray, second: np.ndarray) -> LatentAlignment:
    """The one-to-one assignment of positions with the least sum of distances (Gu & Kong 2021, appendix B).

    Args:
        first, second: [S, D], z(x, y1) and z(x, y2) of the same x.

    Raises:
        ValueError: the shapes differ, there is no position, or a number is not finite.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 2 or not first.size:
        raise ValueError(f"z of one sentence must be [S, D] twice, not {list(first.shape)} and {list(second.shape)}")
    distances = cdist(first, second)
    if not np.isfinite(distances).all():
        raise ValueError("z must be finite")
    moving = _PREFERENCE * (distances.max() or 1.0) * (1 - np.eye(len(distances)))
    _, matches = linear_sum_assignment(distances + moving)
    return LatentAlignment(distances, matches.astype(np.int64))


@dataclass(frozen=True)
class AlignmentSummary:
    """Means over the positions of all sentences, each position of weight 1.

    Attributes:
        sentences, positions: how many.
        matched_to_itself: share of positions that are assigned to themselves.
        chance: what that share would be on average if assignments were drawn at random: a permutation has one fixed
            point on average, however long it is.
        sentences_unmoved: share of sentences all of whose positions are.
        mean_displacement: places between a position and the one that it is assigned to.
        distance_to_itself, distance_to_match: means over positions.
        distance_to_any: mean over a sentence's S² pairs of positions, each pair of weight 1/S: the scale of the others.
    """

    sentences: int
    positions: int
    matched_to_itself: float
    chance: float
    sentences_unmoved: float
    mean_displacement: float
    distance_to_itself: float
    distance_to_match: float
    distance_to_any: float


def summarise(alignments: Sequence[LatentAlignment]) -> AlignmentSummary:
    """What ``alignments``, one a sentence, have in common.

    Raises:
        ValueError: there is none.
    """
    if not alignments:
        raise ValueError("no sentence to summarise")
    stays = np.concatenate([alignment.stays for alignment in alignments])
    return AlignmentSummary(
        sentences=len(alignments),
        positions=len(stays),
        matched_to_itself=float(stays.mean()),
        chance=len(alignments) / len(stays),
        sentences_unmoved=float(np.mean([alignment.stays.all() for alignment in alignments])),
        mean_displacement=float(np.concatenate([alignment.displacements for alignment in alignments]).mean()),
        distance_to_itself=float(np.concatenate([alignment.to_itself for alignment in alignments]).mean()),
        distance_to_match=float(np.concatenate([alignment.to_match for alignment in alignments]).mean()),
        distance_to_any=float(np.concatenate([alignment.distances.mean(1) for alignment in alignments]).mean()),
    )
