"""The encoder: fairseq's, whose output may carry a latent variable."""

from __future__ import annotations

from typing import Any

from fairseq.models.transformer import TransformerEncoderBase
from torch import Tensor


class NatEncoder(TransformerEncoderBase):
    """fairseq's transformer encoder."""

    def reorder_encoder_out(self, encoder_out: dict[str, Any], new_order: Tensor) -> dict[str, Any]:
        """Sentences in another order, or several times each; fairseq's own drops what it does not know.

        Args:
            encoder_out: what :meth:`forward` returned, perhaps with ``latent``.
            new_order: [K] int64, numbers of sentences.
        """
        reordered: dict[str, Any] = super().reorder_encoder_out(encoder_out, new_order)
        if "latent" in encoder_out:
            reordered["latent"] = [encoder_out["latent"][0].index_select(0, new_order)]
        return reordered
