"""The decoder: a transformer that sees the whole canvas at once."""

from __future__ import annotations

from typing import Any, Optional

import torch
from fairseq.models.transformer import TransformerDecoderBase
from torch import Tensor

from nat_plugin.models.positional_layer import PositionalDecoderLayer
from nat_plugin.symbols import MASK


class NatDecoder(TransformerDecoderBase):
    """fairseq's transformer decoder without the causal mask: every slot attends to every other.

    Args:
        cfg: fairseq's configuration of a transformer.
        dictionary: the target's, with ``<mask>``.
        embed_tokens: the target's embeddings.
        positional_attention: whether each layer has it, see
            :class:`~nat_plugin.models.positional_layer.PositionalDecoderLayer`.
    """

    def __init__(
        self, cfg: Any, dictionary: Any, embed_tokens: torch.nn.Embedding, *, positional_attention: bool = False
    ) -> None:
        self.has_positional_attention = positional_attention  # before fairseq's, which builds the layers
        super().__init__(cfg, dictionary, embed_tokens)
        self.mask_idx = dictionary.index(MASK)

    def build_decoder_layer(self, cfg: Any, no_encoder_attn: bool = False) -> torch.nn.Module:
        if self.has_positional_attention:
            return PositionalDecoderLayer(cfg)
        layer: torch.nn.Module = super().build_decoder_layer(cfg, no_encoder_attn)
        return layer

    def forward(self, canvas: Tensor, encoder_out: dict[str, Any], copies: Optional[Tensor] = None) -> Tensor:
        """Logits of every slot.

        Args:
            canvas: [B, m+1] token ids, the slots and then the end marker, right-padded
                (:func:`nat_plugin.canvas.lengths.build_canvas`).
            encoder_out: what the encoder returned.
            copies: [B, m, D], what stands in the masked slots in place of the scaled embedding of ``<mask>``; a slot
                that shows a token has that token's embedding.

        Returns:
            [B, m, V]; the marker's own column is cut off, so that a sentence shorter than m has its marker, and then
            padding, in its last columns: they mean nothing.
        """
        logits: Tensor = self.output_layer(self.slot_features(canvas, encoder_out, copies))
        return logits

    def slot_features(self, canvas: Tensor, encoder_out: dict[str, Any], copies: Optional[Tensor] = None) -> Tensor:
        """The last layer's state of every slot, [B, m, D]; arguments as in :meth:`forward`."""
        padding = canvas.eq(self.padding_idx)
        self_attention_padding = padding if padding.any() else None  # without a mask attention is faster
        states = self.dropout_module(self._embed(canvas, copies)).transpose(0, 1)
        more = {"positions": self._positions(canvas)} if self.has_positional_attention else {}
        for layer in self.layers:
            states, _, _ = layer(
                states,
                encoder_out["encoder_out"][0],
                encoder_out["encoder_padding_mask"][0],
                self_attn_padding_mask=self_attention_padding,
                **more,
            )
        if self.layer_norm is not None:
            states = self.layer_norm(states)
        slots: Tensor = states.transpose(0, 1)[:, :-1]
        return slots

    def _embed(self, canvas: Tensor, copies: Optional[Tensor]) -> Tensor:
        """Tokens, or copies where they are masked, and positions: [B, m+1, D]."""
        tokens = self.embed_scale * self.embed_tokens(canvas)
        if copies is not None:
            copies = torch.nn.functional.pad(copies, (0, 0, 0, 1))  # the marker is never masked
            tokens = torch.where(canvas.eq(self.mask_idx).unsqueeze(2), copies.to(tokens.dtype), tokens)
        filled: Tensor = tokens + self.embed_positions(canvas)
        return filled

    def _positions(self, canvas: Tensor) -> Tensor:
        """Positional encodings of all places of the canvas, [m+1, 1, D]: those of a sentence without padding."""
        without_padding = torch.full_like(canvas[:1], self.mask_idx)
        encodings: Tensor = self.embed_positions(without_padding)
        return encodings.transpose(0, 1)
