"""Attention: the arithmetic that its kinds share, and the kind that looks at places alone."""

from __future__ import annotations

from typing import Any, Optional

from fairseq.modules import FairseqDropout, MultiheadAttention
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    heads: int,
    padding: Optional[Tensor] = None,
    attn_mask: Optional[Tensor] = None,
    dropout: float = 0.0,
) -> Tensor:
    """Scaled dot-product attention of several heads (Vaswani et al. 2017, §3.2), between its projections.

    Args:
        query: [T, B, D], projected.
        key, value: [S, B, D], projected.
        heads: how many parts D has.
        padding: [B, S] bool, True at keys that nobody attends to.
        attn_mask: [T, S], added to the scores.
        dropout: probability that a weight is dropped.

    Returns:
        [T, B, D], the heads side by side.
    """
    mask = attn_mask
    if padding is not None:
        real = ~padding[:, None, None, :]
        mask = real if mask is None else mask.masked_fill(~real, float("-inf"))
    q, k, v = (states.unflatten(2, (heads, -1)).permute(1, 2, 0, 3) for states in (query, key, value))
    found = scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
    return found.permute(2, 0, 1, 3).flatten(2)


def dropout_rate(dropout: FairseqDropout) -> float:
    """With which probability it drops now; 0 where it does nothing."""
    return float(dropout.p) if dropout.training or dropout.apply_during_inference else 0.0


class PositionalAttention(MultiheadAttention):
    """Positional attention (Gu et al. 2018, §3.1): queries and keys are positional encodings, values are states.

    The positions are those of all sentences, so they are projected once; which of them a sentence has, its padding
    says.

    Args:
        embed_dim: D.
        num_heads: how many parts D has.
        dropout: of the attention weights.
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__(embed_dim, num_heads, dropout=dropout)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Optional[Tensor] = None, **unused: Any
    ) -> tuple[Tensor, None]:
        """Attend; in the form of the class that this is made from.

        Args:
            query, key: [T, 1, D], the positional encodings, the same tensor.
            value: [T, B, D].
            key_padding_mask: [B, T] bool, True at padding.

        Returns:
            [T, B, D], and no weights.
        """
        q, k = (projection(query).expand(-1, value.size(1), -1) for projection in (self.q_proj, self.k_proj))
        attended = attend(
            q,
            k,
            self.v_proj(value),
            heads=self.num_heads,
            padding=key_padding_mask,
            dropout=dropout_rate(self.dropout_module),
        )
        return self.out_proj(attended), None
