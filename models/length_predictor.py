"""How long is the translation? A classifier over the difference to the source's length."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LengthPredictor(nn.Module):
    """Predicts target length - source length from the mean encoder state.

    A class stands for one difference in -max_offset..max_offset, so that no absolute length is out of reach (fairseq's
    own classes stop at 255). A rarer difference in training counts as the nearest class.

    Args:
        embed_dim: width of the encoder states.
        max_offset: the largest difference, in tokens.
    """

    def __init__(self, embed_dim: int, max_offset: int) -> None:
        super().__init__()
        self.max_offset = max_offset
        self.projection = nn.Linear(embed_dim, 2 * max_offset + 1)

    def forward(self, states: Tensor, padding: Tensor) -> Tensor:
        """Class logits [B, 2·max_offset+1].

        Args:
            states: [S, B, D], the encoder's output.
            padding: [B, S] bool, True at padding.
        """
        real = (~padding).t().unsqueeze(-1).to(states.dtype)
        pooled = (states * real).sum(0) / real.sum(0)
        logits: Tensor = self.projection(pooled)
        return logits

    def classes(self, target_lengths: Tensor, source_lengths: Tensor) -> Tensor:
        """The class of each pair, [B] int64."""
        return (target_lengths - source_lengths).clamp(-self.max_offset, self.max_offset) + self.max_offset

    def most_probable(self, logits: Tensor, source_lengths: Tensor, count: int, maximum: int) -> tuple[Tensor, Tensor]:
        """The ``count`` most probable lengths in 1..maximum.

        Args:
            logits: [B, 2·max_offset+1].
            source_lengths: [B].

        Returns:
            lengths [B, count] int64, best first, and their log-probabilities [B, count].
        """
        lprobs = torch.log_softmax(logits.float(), dim=-1)
        offsets = torch.arange(-self.max_offset, self.max_offset + 1, device=logits.device)
        lengths = source_lengths.unsqueeze(1) + offsets
        # a finite stand-in for "impossible": with fewer possible lengths than candidates the nearest ones fill up
        lprobs = lprobs.masked_fill((lengths < 1) | (lengths > maximum), torch.finfo(lprobs.dtype).min)
        best, index = lprobs.topk(min(count, lprobs.size(1)), dim=1)
        return lengths.gather(1, index).clamp(1, maximum), best
