"""The cost of a path through the slots, with its gradient in one dense pass over the logits.

Cross entropy, AXE and OaXE all pay for a few (slot, token) pairs a sentence. Finding the pairs needs no autograd; what
costs is every pass over the B·m·V logits. So the normaliser is computed once, the pairs are gathered, and the backward
pass writes ``softmax · coefficient`` into a single new tensor and subtracts the pairs' weights from it in place.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def log_normalizers(logits: Tensor) -> Tensor:
    """log Σ_v exp(logits) of each slot, without a gradient: [B, m] in float32 (float64 for float64 logits)."""
    with torch.no_grad():
        return torch.logsumexp(logits if logits.dtype == torch.float64 else logits.float(), dim=-1)


def path_cost(
    logits: Tensor,
    normalizers: Tensor,
    slots: Tensor,
    tokens: Tensor,
    weights: Tensor,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Σ_t weight_t · -log p_{slot_t}(token_t) of each sentence, label-smoothed.

    With smoothing ε the result is ``(1-ε) · cost + ε · Σ_j mean_v(-log p_j(v))``, the second sum over the slots that
    carry cost, that is those with a positive weight.

    Args:
        logits: [B, m, V], any floating dtype.
        normalizers: [B, m], from :func:`log_normalizers` of the same logits.
        slots: [B, T] int64, the slot of each pair.
        tokens: [B, T] int64, the token of each pair.
        weights: [B, T], non-negative; pairs of weight 0 are ignored, whatever they point at (they must be in range).
        label_smoothing: ε in [0, 1).

    Returns:
        [B], nats, differentiable once with respect to ``logits``.
    """
    cost: Tensor = _PathCost.apply(logits, normalizers, slots, tokens, weights.to(normalizers.dtype), label_smoothing)
    return cost


class _PathCost(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        normalizers: Tensor,
        slots: Tensor,
        tokens: Tensor,
        weights: Tensor,
        label_smoothing: float,
    ) -> Tensor:
        vocabulary = logits.size(-1)
        pairs = slots * vocabulary + tokens
        chosen = logits.flatten(1).gather(1, pairs).to(normalizers.dtype)
        costs = (normalizers.gather(1, slots) - chosen) * weights
        cost = costs.masked_fill(weights == 0, 0.0).sum(1)
        coefficients = torch.zeros_like(normalizers).scatter_add_(1, slots, weights)
        if label_smoothing:
            mean_logits = logits.mean(-1, dtype=normalizers.dtype)
            uniform = (normalizers - mean_logits).masked_fill(coefficients == 0, 0.0).sum(1)
            cost = (1 - label_smoothing) * cost + label_smoothing * uniform
        ctx.save_for_backward(logits, normalizers, pairs, weights, coefficients)
        ctx.label_smoothing = label_smoothing
        return cost

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_cost: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        logits, normalizers, pairs, weights, coefficients = ctx.saved_tensors
        smoothing = ctx.label_smoothing
        scale = grad_cost.to(normalizers.dtype).unsqueeze(1)
        carries = (coefficients > 0).to(normalizers.dtype) * scale
        slot_scale = (1 - smoothing) * coefficients * scale + smoothing * carries
        if logits.dtype == normalizers.dtype:
            gradient = torch.sub(logits, normalizers.unsqueeze(-1))
        else:
            gradient = logits.to(normalizers.dtype).sub_(normalizers.unsqueeze(-1))
        gradient.exp_().mul_(slot_scale.unsqueeze(-1))
        if smoothing:
            gradient.sub_((smoothing / logits.size(-1) * carries).unsqueeze(-1))
        gradient.flatten(1).scatter_add_(1, pairs, (smoothing - 1) * weights * scale)
        return gradient.to(logits.dtype), None, None, None, None, None


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
