"""The encoder: fairseq's, whose output may carry a latent variable, and which may predict its own input."""

from __future__ import annotations

from typing import Any, Optional

from fairseq.models.transformer import TransformerEncoderBase
from torch import Tensor, nn

from nat_plugin.models.encoder_masking import EncoderPrediction


class NatEncoder(TransformerEncoderBase):
    """fairseq's transformer encoder.

    Args:
        cfg: fairseq's configuration.
        dictionary: of the source.
        embed_tokens: the source's embedding.
        own_prediction_layer: give :meth:`predict` a matrix of its own in place of the embedding's.
    """

    def __init__(
        self, cfg: Any, dictionary: Any, embed_tokens: nn.Embedding, *, own_prediction_layer: bool = False
    ) -> None:
        super().__init__(cfg, dictionary, embed_tokens)
        self.prediction_layer: Optional[nn.Linear] = None
        if own_prediction_layer:
            width = embed_tokens.embedding_dim
            self.prediction_layer = nn.Linear(width, len(dictionary), bias=False)
            nn.init.normal_(self.prediction_layer.weight, mean=0, std=width**-0.5)  # as fairseq's output layers

    def predict(self, encoder_out: dict[str, Any], src_tokens: Tensor, chosen: Tensor) -> EncoderPrediction:
        """What the states say of source tokens that the encoder did not, or may not, have seen.

        Args:
            encoder_out: what :meth:`forward` returned.
            src_tokens: [B, S] int64, the true ones.
            chosen: [B, S] bool, which are to be predicted.
        """
        states = encoder_out["encoder_out"][0].transpose(0, 1)[chosen]
        layer = self.embed_tokens if self.prediction_layer is None else self.prediction_layer
        logits = nn.functional.linear(states, layer.weight)
        return EncoderPrediction(logits, src_tokens[chosen], chosen.nonzero()[:, 0])

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
