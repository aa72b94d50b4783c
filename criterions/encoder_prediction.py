"""The encoder's part of a criterion: L_enc, what it pays for its masked tokens (Guo et al. 2020, Eq. 4)."""

import math
from typing import Any, Dict, NamedTuple, Optional

import torch
from fairseq.logging import metrics
from torch import Tensor

from nat_plugin.alignments import slot_log_probs


class EncoderLoss(NamedTuple):
    """Attributes:
    costs: [B], nats, with gradient: the sum over a sentence's masked source tokens.
    tokens: [B], how many there are.
    """

    costs: Tensor
    tokens: Tensor


def encoder_loss(prediction: Any, counted: Tensor) -> EncoderLoss:
    """-Σ log P(x_t | x^r) of each sentence.

    Args:
        prediction: the model's ``EncoderPrediction``.
        counted: [B] bool, the sentences that the word loss counts; the others cost nothing here either.
    """
    batch, number = counted.size(0), prediction.tokens.size(0)
    lprobs = slot_log_probs(
        prediction.logits.unsqueeze(0),
        prediction.tokens.view(1, number, 1),
        prediction.tokens.new_full((1,), number),
        overwrite_logits=True,  # nobody needs them after the backward pass
    ).of_tokens.flatten()
    costs = lprobs.new_zeros(batch).index_add(0, prediction.sentences, -lprobs)
    tokens = torch.bincount(prediction.sentences, minlength=batch)
    return EncoderLoss(costs.masked_fill(~counted, 0.0), tokens.masked_fill(~counted, 0))


def encoder_log(loss: Optional[EncoderLoss]) -> Dict[str, Any]:
    """Sums over the batch, by fixed keys; nothing where the encoder predicts nothing."""
    if loss is None:
        return {}
    return {"encoder_loss": loss.costs.detach().sum(), "encoder_tokens": loss.tokens.sum().float()}


def reduce_encoder(total: Dict[str, float]) -> None:
    """Log ``encoder_loss``, in bits per masked source token."""
    tokens = total.get("encoder_tokens", 0)
    if tokens:
        metrics.log_scalar("encoder_loss", total["encoder_loss"] / tokens / math.log(2), tokens, round=3)
