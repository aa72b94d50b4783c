"""The encoder as a masked language model beside its work for the decoder (JM-NAT, Guo et al. 2020, §4.1)."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn

from nat_plugin.canvas.random import Stream
from nat_plugin.canvas.substitution import choose_source_tokens
from nat_plugin.models.word_noise import WordNoise


class EncoderPrediction(NamedTuple):
    """What the encoder says of the K source tokens of a batch that were chosen.

    Attributes:
        logits: [K, V].
        tokens: [K] int64, the true ones.
        sentences: [K] int64, the row of the batch that each is in.
    """

    logits: Tensor
    tokens: Tensor
    sentences: Tensor


class MaskedSource(NamedTuple):
    """Attributes:
    tokens: [B, S] int64, what the encoder reads.
    chosen: [B, S] bool, the tokens that it is to predict.
    """

    tokens: Tensor
    chosen: Tensor


class EncoderMasking(nn.Module):
    """Chooses a share of the source tokens, and hides them: 80 % ``<mask>``, 10 % a random word, 10 % as they are.

    Args:
        cfg: our model's options; ``encoder_mask_prob`` is not 0.
        dictionary: of the source.
    """

    def __init__(self, cfg: Any, dictionary: Any) -> None:
        super().__init__()
        self.share, self.seed = cfg.encoder_mask_prob, cfg.seed
        self.never_chosen = (dictionary.bos(), dictionary.pad(), dictionary.eos())
        self.noise = WordNoise(dictionary, cfg.seed, Stream.SOURCE_NOISE)

    def forward(self, src_tokens: Tensor, update: int, sentence_ids: Tensor) -> MaskedSource:
        """Mask a batch; sentence boundaries and padding are never chosen.

        Args:
            src_tokens: [B, S] int64, padded on either side.
            update, sentence_ids: what the draws depend on.
        """
        maskable = src_tokens.ne(self.never_chosen[0])
        for symbol in self.never_chosen[1:]:
            maskable = maskable & src_tokens.ne(symbol)
        chosen = choose_source_tokens(maskable, self.share, seed=self.seed, update=update, sentence_ids=sentence_ids)
        return MaskedSource(self.noise(src_tokens, chosen, maskable, update, sentence_ids), chosen)
