"""Order-agnostic cross entropy (OaXE), Du et al. 2021, as in Huang et al. 2022, §E.4.

The loss is the smallest cross entropy over all orders of the target, min over permutations π of
-Σ_i log p_{π(i)}(y_i): one linear assignment of targets to slots a sentence. It is found on the host by scipy, over the
block of slots and targets that are real (and not observed), from one copy of the whole batch's costs.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Optional

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from nat_plugin.alignments.checks import check_label_smoothing, check_lengths, check_one_slot_a_target, check_slot_mask
from nat_plugin.alignments.nan_report import raise_pending
from nat_plugin.alignments.reduction import reduce_costs, smooth_labels
from nat_plugin.alignments.slot_log_probs import slot_log_probs
from nat_plugin.padding import length_mask

# scipy refuses a matrix without a finite assignment, where ours must say that the loss is infinite
_LARGEST_COST = 1e9


class OaxeAlignment(NamedTuple):
    """The best order of each sentence's targets.

    Attributes:
        positions: [B, n] int64, the slot of each target; its own place where it is observed or padding.
        tokens: [B, m] int64, the proxy target of each slot; what stands in ``targets`` beyond the lengths.
        kept: [B, n] bool, the targets that are paid for: real, not observed, and not truncated.
    """

    positions: Tensor
    tokens: Tensor
    kept: Tensor

    def moved(self) -> Tensor:
        """How many paid targets of each sentence stand in another slot than their own: [B] int64."""
        index = torch.arange(self.positions.size(1), device=self.positions.device)
        return (self.kept & (self.positions != index)).sum(1)


def oaxe_loss(
    logits: Tensor,
    targets: Tensor,
    target_lengths: Tensor,
    *,
    label_smoothing: float = 0.0,
    min_probability: Optional[float] = None,
    observed: Optional[Tensor] = None,
    reduction: str = "mean",
    backend: Optional[str] = None,
    overwrite_logits: bool = False,
) -> Tensor:
    """The cross entropy of each sentence with its targets in their best order, in nats.

    Args:
        logits: [B, m, V], m = n.
        targets: [B, n] int64; any token in range beyond ``target_lengths``.
        target_lengths: [B], 0..n.
        label_smoothing: ε of ``(1-ε) · cost + ε · Σ_j mean_v(-log p_j(v))``, over the slots that are paid for.
        min_probability: matched tokens that are less probable than this are dropped from the loss (truncation); their
            negative natural logarithm is compared with that of this margin. None drops nothing.
        observed: [B, m] bool, slots whose token the decoder sees: they keep their own target and cost nothing.
        reduction: ``none`` [B], ``sum``, or ``mean`` (over the target tokens of the batch).
        backend, overwrite_logits: see :func:`nat_plugin.alignments.slot_log_probs`.

    Raises:
        ValueError: shapes that do not fit, a margin outside (0, 1], ε out of range, or an unknown reduction.
        FloatingPointError: NaN in the logits.
    """
    costs, _ = oaxe_loss_and_alignment(
        logits,
        targets,
        target_lengths,
        label_smoothing=label_smoothing,
        min_probability=min_probability,
        observed=observed,
        backend=backend,
        overwrite_logits=overwrite_logits,
    )
    return reduce_costs(costs, target_lengths, reduction)


def oaxe_alignment(
    logits: Tensor,
    targets: Tensor,
    target_lengths: Tensor,
    *,
    min_probability: Optional[float] = None,
    observed: Optional[Tensor] = None,
    backend: Optional[str] = None,
) -> OaxeAlignment:
    """The best order alone; arguments and errors as in :func:`oaxe_loss`."""
    _, alignment = oaxe_loss_and_alignment(
        logits.detach(),
        targets,
        target_lengths,
        min_probability=min_probability,
        observed=observed,
        backend=backend,
    )
    return alignment


def oaxe_loss_and_alignment(
    logits: Tensor,
    targets: Tensor,
    target_lengths: Tensor,
    *,
    label_smoothing: float = 0.0,
    min_probability: Optional[float] = None,
    observed: Optional[Tensor] = None,
    backend: Optional[str] = None,
    overwrite_logits: bool = False,
) -> tuple[Tensor, OaxeAlignment]:
    """The cost of each sentence [B] and the order that it pays for; arguments and errors as in :func:`oaxe_loss`."""
    check_one_slot_a_target(logits, targets, "OaXE")
    check_lengths("target_lengths", target_lengths, *targets.shape)
    check_label_smoothing(label_smoothing)
    if min_probability is not None and not 0 < min_probability <= 1:
        raise ValueError(f"min_probability must be above 0 and at most 1, not {min_probability}")
    free = length_mask(target_lengths, targets.size(1))
    if observed is not None:
        check_slot_mask(observed, logits, "observed")
        free = free & ~observed
    lprobs = slot_log_probs(
        logits,
        targets,
        target_lengths,
        mean=label_smoothing > 0,
        backend=backend,
        overwrite_logits=overwrite_logits,
    )
    positions = _assign(lprobs.of_tokens.detach(), free)
    paid = lprobs.of_tokens.gather(1, positions.unsqueeze(1)).squeeze(1)
    kept = free
    if min_probability is not None:
        kept = kept & (paid.detach() >= math.log(min_probability))
    costs = -paid.masked_fill(~kept, 0.0).sum(1)
    tokens = torch.empty_like(targets).scatter_(1, positions, targets)
    pays = torch.empty_like(kept).scatter_(1, positions, kept)
    smoothed = smooth_labels(costs, lprobs.mean, pays, label_smoothing)
    return smoothed, OaxeAlignment(positions, tokens, kept)


def _assign(lprobs: Tensor, free: Tensor) -> Tensor:
    """The slot of each target [B, n]; ``lprobs`` [B, m, n] and ``free`` [B, n] say what may be moved."""
    on_host = torch.cat([lprobs.clamp(min=-_LARGEST_COST), free.unsqueeze(2).to(lprobs.dtype)], 2).cpu().numpy()
    raise_pending()  # the copy has waited for the device; the solver would only say that numbers are invalid
    positions = np.tile(np.arange(free.size(1)), (free.size(0), 1))
    for sentence, block in enumerate(on_host):
        movable = np.flatnonzero(block[:, -1])
        gains = block[np.ix_(movable, movable)].astype(np.float64)
        # the best order stays the same, and the solver, which starts from prices of 0, is a fifth faster
        gains -= gains.max(1, keepdims=True, initial=-_LARGEST_COST)
        gains -= gains.max(0, keepdims=True, initial=-_LARGEST_COST)
        slots, chosen = linear_sum_assignment(gains, maximize=True)
        positions[sentence, movable[chosen]] = movable[slots]
    return torch.from_numpy(positions).to(lprobs.device)
