"""γ of Dynamic KD: weights by which the candidate that agrees with the others is one that agrees with references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nat_plugin.errors import UserError
from nat_plugin.target_candidates.sentence_bleu import sentence_bleu

_LEAST_GAIN = 1e-9


@dataclass(frozen=True)
class Agreement:
    """Sentence BLEU of K candidates of N sentences.

    Attributes:
        pairwise: [N, K, K], S(Γ_i, Γ_k): candidate k held against candidate i.
        quality: [N, K], mean S(Y, Γ_k) over the references Y: -1/β of the real data distortion (Huang et al. 2022,
            Eq. 14).
        references: [N], how many references a sentence has.
    """

    pairwise: np.ndarray
    quality: np.ndarray
    references: np.ndarray

    def choices(self, weights: np.ndarray) -> np.ndarray:
        """argmax_k Σ_i γ_i·S(Γ_i, Γ_k) of each sentence, the first of equal ones, for weights [..., K]: [..., N]."""
        scores = np.tensordot(weights, self.pairwise, axes=([-1], [1]))
        return np.asarray(scores.argmax(-1))

    def mean_quality(self, weights: np.ndarray) -> np.ndarray:
        """Mean quality of what ``weights`` [..., K] choose, [...]: what γ is to make highest."""
        return np.asarray(self.quality[np.arange(len(self.quality)), self.choices(weights)].mean(-1))

    def part(self, rows: slice) -> Agreement:
        """Some of the sentences."""
        return Agreement(self.pairwise[rows], self.quality[rows], self.references[rows])


def measure(candidates: Sequence[Sequence[str]], references: Sequence[Sequence[str]], *, held_out: bool) -> Agreement:
    """Score everything against everything.

    Args:
        candidates: K texts, words divided by spaces.
        references: texts of the same sentences; equal ones of a sentence count once.
        held_out: leave out references that are the sentence's last candidate, its raw target: it came from them.

    Raises:
        UserError: no sentence has a reference.
    """
    against = sentence_bleu(candidates, references)
    counts = np.zeros(against.shape[:2], dtype=bool)
    for number, lines in enumerate(zip(*references, strict=True)):
        known = {candidates[-1][number]} if held_out else set()
        for place, line in enumerate(lines):
            counts[number, place] = line not in known
            known.add(line)
    kept = counts.any(1)
    if not kept.any():
        raise UserError("no sentence has a reference besides its raw target: give data with several references.")
    counts, against = counts[kept], against[kept]
    quality = (against * counts[:, :, None]).sum(1) / counts.sum(1, keepdims=True)
    return Agreement(sentence_bleu(candidates, candidates)[kept], quality, counts.sum(1))


@dataclass(frozen=True)
class Found:
    """Attributes:
    weights: [K], the best γ.
    quality: what it reaches.
    steps: every improvement on the way from its start.
    """

    weights: np.ndarray
    quality: float
    steps: list[dict[str, Any]]


def search(agreement: Agreement, grid: Sequence[float], *, restarts: int, seed: int) -> Found:
    """Coordinate search: one weight after the other takes its best value of the grid, until none improves.

    It begins with ones, and then with random weights of the grid; the best end counts, the first of equal ones.

    Args:
        grid: values of a weight.
        restarts: how many random beginnings.
        seed: of those.
    """
    draw = np.random.default_rng(seed)
    count = agreement.quality.shape[1]
    starts = [np.ones(count), *(draw.choice(np.asarray(grid), count) for _ in range(restarts))]
    return max((_climb(agreement, start, grid) for start in starts), key=lambda found: found.quality)


def _climb(agreement: Agreement, start: np.ndarray, grid: Sequence[float]) -> Found:
    weights, best = start, float(agreement.mean_quality(start))
    steps = [{"weights": weights.tolist(), "bleu": best}]
    improved = True
    while improved:
        improved = False
        for place in range(len(weights)):
            tried = along(weights, place, grid)
            reached = agreement.mean_quality(tried)
            top = int(reached.argmax())
            if reached[top] > best + _LEAST_GAIN:
                weights, best, improved = tried[top], float(reached[top]), True
                steps.append({"weights": weights.tolist(), "bleu": best})
    return Found(weights, best, steps)


def along(weights: np.ndarray, place: int, grid: Sequence[float]) -> np.ndarray:
    """``weights`` with each value of the grid at ``place``: [G, K]."""
    tried = np.tile(weights, (len(grid), 1))
    tried[:, place] = grid
    return tried
