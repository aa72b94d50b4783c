"""80/10/10: what stands in the tokens that are to be predicted."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nat_plugin.canvas.random import Stream, sentence_uniform
from nat_plugin.canvas.substitution import places_among, substitute
from nat_plugin.symbols import MASK, word_ids


class WordNoise(nn.Module):
    """See :func:`nat_plugin.canvas.substitution.substitute`; the random words are those of a dictionary.

    Args:
        dictionary: of the source or of the target.
        seed: of the draws.
        stream: what the draws are for.
    """

    words: Tensor

    def __init__(self, dictionary: Any, seed: int, stream: Stream) -> None:
        super().__init__()
        self.register_buffer("words", torch.tensor(word_ids(dictionary)), persistent=False)
        self.mask_idx = dictionary.index(MASK)
        self.seed, self.stream = seed, stream

    def forward(self, tokens: Tensor, chosen: Tensor, real: Tensor, update: int, sentence_ids: Tensor) -> Tensor:
        """What is read in place of ``tokens`` [B, m] int64.

        Args:
            chosen: [B, m] bool, what is to be predicted.
            real: [B, m] bool, what is no padding: a draw belongs to a token's place among these.
            update, sentence_ids: what the draws depend on.
        """
        uniform = sentence_uniform(self.seed, update, sentence_ids, tokens.size(1), self.stream)
        return substitute(
            tokens, chosen, uniform.gather(1, places_among(real)), words=self.words, mask_idx=self.mask_idx
        )
