"""A decoder layer with positional attention: the option --positional-attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Optional

from fairseq.modules import LayerNorm
from fairseq.modules.transformer_layer import TransformerDecoderLayerBase
from torch import Tensor

from nat_plugin.attention import PositionalAttention


class PositionalDecoderLayer(TransformerDecoderLayerBase):
    """fairseq's decoder layer, with positional attention between self-attention and attention to the source.

    Gu et al. 2018, §3.1 and Figure 2. As around the other parts there are dropout, a residual connection, and layer
    norm after it (or before, with ``--decoder-normalize-before``).

    Args:
        cfg: fairseq's configuration of a transformer.
    """

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.positional_attn = PositionalAttention(
            self.embed_dim, cfg.decoder.attention_heads, dropout=cfg.attention_dropout
        )
        self.positional_attn_layer_norm = LayerNorm(self.embed_dim)

    def forward(
        self,
        states: Tensor,
        encoder_states: Tensor,
        encoder_padding: Optional[Tensor],
        self_attn_padding_mask: Optional[Tensor],
        positions: Tensor,
    ) -> tuple[Tensor, None, None]:
        """The next layer's input, in the form of fairseq's own layer.

        Args:
            states: [T, B, D].
            encoder_states: [S, B, D'].
            encoder_padding: [B, S] bool, True at padding.
            self_attn_padding_mask: [B, T] bool, True at padding; None where there is none.
            positions: [T, 1, D], the positional encodings.
        """

        def positional(values: Tensor) -> Tensor:
            attended: Tensor = self.positional_attn(positions, positions, values, self_attn_padding_mask)[0]
            return attended

        def from_source(queries: Tensor) -> Tensor:
            return _attended(self.encoder_attn, queries, encoder_states, encoder_padding)

        states = self._added(
            self.self_attn_layer_norm, states, lambda x: _attended(self.self_attn, x, x, self_attn_padding_mask)
        )
        states = self._added(self.positional_attn_layer_norm, states, positional)
        states = self._added(self.encoder_attn_layer_norm, states, from_source)
        return self._added(self.final_layer_norm, states, self._feed_forward), None, None

    def _added(self, norm: Any, states: Tensor, part: Callable[[Tensor], Tensor]) -> Tensor:
        """What one part of the layer makes of the states, added to them."""
        made = self.dropout_module(part(norm(states) if self.normalize_before else states))
        added: Tensor = self.residual_connection(made, states)
        return added if self.normalize_before else norm(added)

    def _feed_forward(self, states: Tensor) -> Tensor:
        fed: Tensor = self.fc2(self.activation_dropout_module(self.activation_fn(self.fc1(states))))
        return fed


def _attended(attention: Any, queries: Tensor, keys: Tensor, padding: Optional[Tensor]) -> Tensor:
    found: Tensor = attention(queries, keys, keys, key_padding_mask=padding, need_weights=False)[0]
    return found
