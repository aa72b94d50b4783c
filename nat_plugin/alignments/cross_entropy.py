"""Cross entropy, slot by slot: the identity alignment."""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor

from nat_plugin.alignments.path_cost import log_normalizers, path_cost, reduce_costs


def label_smoothed_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    mask: Optional[Tensor] = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """Label-smoothed cross entropy over the slots where ``mask`` is set.

    Each such slot costs ``(1-ε) · -log p(target) + ε · mean_v(-log p(v))`` nats.

    Args:
        logits: [B, m, V].
        targets: [B, m] int64; where ``mask`` is unset any token in range will do.
        mask: [B, m] bool, default all slots.
        label_smoothing: ε.
        reduction: ``none`` [B], ``sum``, or ``mean`` (over the slots in the mask).

    Raises:
        ValueError: an unknown reduction.
    """
    if mask is None:
        mask = torch.ones_like(targets, dtype=torch.bool)
    slots = torch.arange(targets.size(1), device=targets.device).expand_as(targets)
    costs = path_cost(logits, log_normalizers(logits), slots, targets, mask, label_smoothing)
    return reduce_costs(costs, mask.sum(1), reduction)
