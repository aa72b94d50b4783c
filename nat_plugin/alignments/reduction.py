"""From the costs of sentences to one loss."""

from __future__ import annotations

from torch import Tensor


def reduce_costs(costs: Tensor, target_lengths: Tensor, reduction: str) -> Tensor:
    """``none``: [B] as it is; ``sum``; ``mean``: the sum over the number of target tokens in the batch.

    Raises:
        ValueError: another reduction.
    """
    if reduction == "none":
        return costs
    if reduction == "sum":
        return costs.sum()
    if reduction == "mean":
        return costs.sum() / target_lengths.sum().clamp(min=1)
    raise ValueError(f"reduction must be none, sum or mean, not {reduction!r}")


def smooth_labels(costs: Tensor, mean_lprobs: Tensor, carries_cost: Tensor, label_smoothing: float) -> Tensor:
    """(1-ε) · cost + ε · Σ_j mean_v(-log p_j(v)), the sum over the slots that carry cost.

    Args:
        costs: [B].
        mean_lprobs: [B, m], from :func:`nat_plugin.alignments.slot_log_probs`; not looked at where ε is 0.
        carries_cost: [B, m] bool.
        label_smoothing: ε in [0, 1).
    """
    if not label_smoothing:
        return costs
    uniform = mean_lprobs.masked_fill(~carries_cost, 0.0).sum(1)
    return (1 - label_smoothing) * costs - label_smoothing * uniform
