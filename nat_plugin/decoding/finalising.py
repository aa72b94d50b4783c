"""From slots to tokens: what is dropped, what is merged, and what the score is."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nat_plugin.padding import length_mask


class FinalTokens(NamedTuple):
    """Tokens that stay, moved to the front.

    Attributes:
        tokens: [B, m] int64, padded.
        scores: [B, m], their log-probabilities in nats, 0 at padding.
        lengths: [B] int64.
    """

    tokens: Tensor
    scores: Tensor
    lengths: Tensor

    def mean_scores(self) -> Tensor:
        """Mean log-probability of the tokens that stay: [B]; -inf where none does."""
        mean = self.scores.sum(1) / self.lengths.clamp(min=1)
        return mean.masked_fill(self.lengths == 0, float("-inf"))


def finalise(
    tokens: Tensor,
    scores: Tensor,
    lengths: Tensor,
    *,
    dropped: Tensor,
    pad_idx: int,
    collapse: bool = False,
    deduplicate: bool = False,
) -> FinalTokens:
    """Drop the symbols that are no text, and move the others to the front.

    Args:
        tokens, scores: [B, m], what each slot predicts and its log-probability.
        lengths: [B], slots of each sentence.
        dropped: [K] int64, ids that never reach the output (blank, mask, padding, sentence boundaries).
        collapse: first merge runs of one symbol, as CTC reads its slots; a run's score is that of its most probable
            slot.
        deduplicate: then merge runs of one token into its first (Huang et al. 2022).
    """
    real = length_mask(lengths, tokens.size(1))
    kept = real & ~(tokens.unsqueeze(-1) == dropped).any(-1)
    if collapse:
        starts, scores = _merge_runs(tokens, scores, real)
        kept = kept & starts
    final = _to_front(tokens, scores, kept, pad_idx)
    if deduplicate:
        repeats = torch.zeros_like(kept)
        repeats[:, 1:] = final.tokens[:, 1:] == final.tokens[:, :-1]
        final = _to_front(final.tokens, final.scores, length_mask(final.lengths, tokens.size(1)) & ~repeats, pad_idx)
    return final


def _merge_runs(tokens: Tensor, scores: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Where runs of one symbol begin, [B, m] bool, and the best score of the run that each slot belongs to, [B, m]."""
    starts = real.clone()
    starts[:, 1:] &= tokens[:, 1:] != tokens[:, :-1]
    runs = starts.cumsum(1) - 1
    best = torch.full_like(scores, float("-inf"))
    best = best.scatter_reduce(1, runs, scores.masked_fill(~real, float("-inf")), "amax")
    return starts, best.gather(1, runs)


def _to_front(tokens: Tensor, scores: Tensor, kept: Tensor, pad_idx: int) -> FinalTokens:
    width = tokens.size(1)
    # what is not kept goes to one column too many, which is cut off
    places = (kept.cumsum(1) - 1).masked_fill(~kept, width)
    return FinalTokens(
        torch.nn.functional.pad(torch.full_like(tokens, pad_idx), (0, 1)).scatter(1, places, tokens)[:, :width],
        torch.nn.functional.pad(torch.zeros_like(scores), (0, 1)).scatter(1, places, scores)[:, :width],
        kept.sum(1),
    )
