"""The input predictor's part of a criterion: which slots are masked (Huang et al. 2022, §E.6)."""

import math
from typing import Any, Dict, NamedTuple, Optional

import torch
from fairseq.logging import metrics
from torch import Tensor

from nat_plugin.padding import length_mask


class InputLoss(NamedTuple):
    """Attributes:
    costs: [B], nats, with gradient: -Σ_i log P(slot i is masked, or is not, as training drew it | X).
    slots: [B], how many slots there are.
    hits: [B], in how many the more probable of the two was right.
    """

    costs: Tensor
    slots: Tensor
    hits: Tensor


def input_loss(logits: Tensor, masked: Tensor, lengths: Tensor, counted: Tensor) -> InputLoss:
    """What each sentence pays for its masks. The other part of -log P(Z | X), that of a frozen NAT for the tokens that
    are revealed, teaches this model nothing and is left out.

    Args:
        logits: [B, m], of "masked".
        masked: [B, m] bool, the masks that training drew.
        lengths: [B], slots of each sentence.
        counted: [B] bool, the sentences that the word loss counts; the others cost nothing here either.
    """
    real = length_mask(lengths, masked.size(1)) & counted.unsqueeze(1)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    costs = torch.nn.functional.binary_cross_entropy_with_logits(logits, masked.to(logits.dtype), reduction="none")
    hits = real & ((logits > 0) == masked)
    return InputLoss(costs.masked_fill(~real, 0.0).sum(1), real.sum(1), hits.sum(1))


def input_log(loss: Optional[InputLoss]) -> Dict[str, Any]:
    """Sums over the batch, by fixed keys; nothing where nothing is predicted."""
    if loss is None:
        return {}
    return {
        "input_loss": loss.costs.detach().sum(),
        "input_slots": loss.slots.sum().float(),
        "input_hits": loss.hits.sum().float(),
    }


def reduce_input(total: Dict[str, float]) -> None:
    """Log ``input_loss``, in bits per slot, and ``input_accuracy``, a share of the slots."""
    slots = total.get("input_slots", 0)
    if slots:
        metrics.log_scalar("input_loss", total["input_loss"] / slots / math.log(2), slots, round=3)
        metrics.log_scalar("input_accuracy", total["input_hits"] / slots, slots, round=4)
