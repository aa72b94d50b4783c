"""Several translations of each sentence, and which of them are best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Candidates:
    """K candidate translations of each of B sentences, in rows b·K + k.

    Attributes:
        count: K.
        tokens: [B·K, n] int64, padded.
        lengths: [B·K] int64.
        scores: [B·K] float32, the model's own score of each, nats.
        steps: [B·K] int64, decoder passes; 0 in a row that holds no candidate.
        token_scores: from rows [R] to the log-probabilities of their tokens, [R, n], nats, 0 at padding.
        history: the tokens [B·K, m], their scores and their lengths after each pass, when asked for.
    """

    count: int
    tokens: Tensor
    lengths: Tensor
    scores: Tensor
    steps: Tensor
    token_scores: Callable[[Tensor], Tensor]
    history: list[tuple[Tensor, Tensor, Tensor]]


def best_rows(candidates: Candidates, ranking: Tensor, nbest: int) -> tuple[Tensor, Tensor]:
    """The rows of each sentence's best candidates.

    Args:
        ranking: [B·K], higher is better; of equal ones the earlier row wins.

    Returns:
        rows [B, n] int64, best first, n = min(nbest, K), and [B, n] bool, False where a row is no candidate or says
        what a better one says; the first never is.
    """
    count = candidates.count
    order = ranking.view(-1, count).argsort(dim=1, descending=True, stable=True)
    rows = order + count * torch.arange(len(order), device=order.device).unsqueeze(1)
    if nbest == 1:
        return rows[:, :1], torch.ones_like(rows[:, :1], dtype=torch.bool)
    same = equal_sentences(candidates.tokens, candidates.lengths, count)[rows]  # [B, K]
    repeated = (same.unsqueeze(2) == same.unsqueeze(1)).tril(-1).any(2)
    wanted = ~repeated & (candidates.steps[rows] > 0)
    first = (~wanted).to(torch.uint8).argsort(dim=1, stable=True)[:, :nbest]
    return rows.gather(1, first), wanted.gather(1, first)


def equal_sentences(tokens: Tensor, lengths: Tensor, count: int) -> Tensor:
    """A number for each row: rows of one sentence with the same translation share theirs, and no others do.

    Args:
        tokens: [B·K, n], equal beyond the lengths.
        lengths: [B·K].
        count: K.

    Returns:
        [B·K] int64, from 0 without gaps.
    """
    sentence = torch.arange(len(tokens), device=tokens.device).div(count, rounding_mode="floor")
    whole = torch.cat([sentence.unsqueeze(1), lengths.unsqueeze(1), tokens], 1)
    return torch.unique(whole, dim=0, return_inverse=True)[1]
