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
    place = torch.arange(1, mask.size(1) + 1, device=mask.device)
    lprobs = slot_log_probs(
        logits,
        targets.unsqueeze(2),
        (mask * place).amax(1),
        mean=label_smoothing > 0,
        backend=backend,
        overwrite_logits=overwrite_logits,
    )
    costs = lprobs.of_tokens.squeeze(2).neg().masked_fill(~mask, 0.0).sum(1)
    return reduce_costs(smooth_labels(costs, lprobs.mean, mask, label_smoothing), mask.sum(1), reduction)
