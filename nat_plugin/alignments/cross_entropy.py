"""Cross entropy, slot by slot: the identity alignment."""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor

from nat_plugin.alignments.checks import check_label_smoothing, check_one_slot_a_target, check_slot_mask
from nat_plugin.alignments.reduction import reduce_costs, smooth_labels
from nat_plugin.alignments.slot_log_probs import slot_log_probs


def label_smoothed_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    mask: Optional[Tensor] = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    backend: Optional[str] = None,
    overwrite_logits: bool = False,
) -> Tensor:
    """Label-smoothed cross entropy over the slots where ``mask`` is set.

    Each such slot costs ``(1-ε) · -log p(target) + ε · mean_v(-log p(v))`` nats.

    Args:
        logits: [B, m, V].
        targets: [B, m] int64; where ``mask`` is unset any token in range will do.
        mask: [B, m] bool, default all slots.
        label_smoothing: ε.
        reduction: ``none`` [B], ``sum``, or ``mean`` (over the slots in the mask).
        backend, overwrite_logits: see :func:`nat_plugin.alignments.slot_log_probs`.

    Raises:
        ValueError: shapes that do not fit, ε out of range, or an unknown reduction.
        FloatingPointError: NaN in the logits of a slot up to the last one in the mask.
    """
    check_one_slot_a_target(logits, targets, "cross entropy")
    check_label_smoothing(label_smoothing)
    if mask is None:
        mask = torch.ones_like(targets, dtype=torch.bool)
    check_slot_mask(mask, logits, "mask")
    lprobs = slot_log_probs(
        logits,
        targets.unsqueeze(2),
        lengths_up_to_last(mask),
        mean=label_smoothing > 0,
        backend=backend,
        overwrite_logits=overwrite_logits,
    )
    costs = cross_entropy_costs(lprobs.of_tokens.squeeze(2), lprobs.mean, mask=mask, label_smoothing=label_smoothing)
    return reduce_costs(costs, mask.sum(1), reduction)


def lengths_up_to_last(mask: Tensor) -> Tensor:
    """How many slots there are up to the last one that is set in ``mask`` [B, m] bool: [B] int64."""
    return (mask * torch.arange(1, mask.size(1) + 1, device=mask.device)).amax(1)


def cross_entropy_costs(lprobs: Tensor, mean_lprobs: Tensor, *, mask: Tensor, label_smoothing: float) -> Tensor:
    """The loss from log-probabilities that are there already: [B].

    Args:
        lprobs: [B, m], of each slot's target.
        mean_lprobs: [B, m], their means over the vocabulary; not looked at where ``label_smoothing`` is 0.
        mask, label_smoothing: as in :func:`label_smoothed_cross_entropy`.
    """
    return smooth_labels(lprobs.neg().masked_fill(~mask, 0.0).sum(1), mean_lprobs, mask, label_smoothing)
