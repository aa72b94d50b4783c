"""The decoder: a transformer that sees the whole canvas at once."""

from __future__ import annotations

from typing import Any

from fairseq.models.transformer import TransformerDecoderBase
from torch import Tensor


class NatDecoder(TransformerDecoderBase):
    """fairseq's transformer decoder without the causal mask: every slot attends to every other."""

    def forward(self, canvas: Tensor, encoder_out: dict[str, Any]) -> Tensor:
        """Logits of every slot.

        Args:
            canvas: [B, m+1] token ids, the slots and then the end marker, right-padded
                (:func:`nat_plugin.canvas.lengths.build_canvas`).
            encoder_out: what the encoder returned.

        Returns:
            [B, m, V]; the marker's own column is cut off, so that a sentence shorter than m has its marker, and then
            padding, in its last columns: they mean nothing.
        """
        logits: Tensor = self.output_layer(self.slot_features(canvas, encoder_out))
        return logits

    def slot_features(self, canvas: Tensor, encoder_out: dict[str, Any]) -> Tensor:
        """The last layer's state of every slot, [B, m, D]; arguments as in :meth:`forward`."""
        features, _ = self.extract_features(canvas, encoder_out=encoder_out, full_context_alignment=True)
        slots: Tensor = features[:, :-1]
        return slots
