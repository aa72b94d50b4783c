"""Aligned cross entropy (AXE), Ghazvininejad et al. 2020, and its causal restriction, Haviv et al. 2021.

Algorithm 1 of the paper, for targets y_1..y_n and slots p_1..p_m::

    A[0,0] = 0;  A[i,0] = A[i-1,0] - δ log p_1(y_i);  A[0,j] = A[0,j-1] - log p_j(ε)
    A[i,j] = min( A[i-1,j-1] -   log p_j(y_i)     align
                  A[i,j-1]   -   log p_j(ε)       skip prediction
                  A[i-1,j]   - δ log p_j(y_i) )   skip target

The loss is A[n,m]. Causal AXE allows *align* only where i ≥ j. The gradient flows through the chosen path only, so a
backend finds the path without autograd, and the path is then paid for with log-probabilities that have a gradient.
"""

from __future__ import annotations

import math
from typing import Any, Optional

import torch
from torch import Tensor

from nat_plugin.alignments.axe_alignment import AxeAlignment, AxePath
from nat_plugin.alignments.backends import choose_backend
from nat_plugin.alignments.causality import Causality
from nat_plugin.alignments.checks import (
    check_canvas_and_targets,
    check_label_smoothing,
    check_one_slot_a_target,
    check_slot_mask,
    check_slot_tokens,
)
from nat_plugin.alignments.reduction import reduce_costs, smooth_labels
from nat_plugin.alignments.slot_log_probs import slot_log_probs
from nat_plugin.padding import length_mask


def axe_loss(
    logits: Tensor,
    targets: Tensor,
    logit_lengths: Tensor,
    target_lengths: Tensor,
    *,
    blank_idx: int,
    skip_target_penalty: float = 1.0,
    observed: Optional[Tensor] = None,
    observed_tokens: Optional[Tensor] = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    backend: Optional[str] = None,
    overwrite_logits: bool = False,
) -> Tensor:
    """AXE of each sentence: the cost of its best alignment, in nats.

    Args:
        logits: [B, m, V]; each sentence has at least one slot.
        targets: [B, n] int64; any token in range beyond ``target_lengths``.
        logit_lengths: [B], slots of each sentence, 1..m.
        target_lengths: [B], tokens of each sentence, 0..n.
        blank_idx: the id of ε.
        skip_target_penalty: δ ≥ 0.
        observed: [B, m] bool, slots whose token the decoder sees (§3.3, "predict masks"): slot i costs nothing for its
            own target i. Needs m = n, unless ``observed_tokens`` are given.
        observed_tokens: [B, m] int64, what the observed slots show, where that is not their own target (glancing): a
            slot costs nothing for a target, or a blank, that is the token it shows.
        label_smoothing: ε of ``(1-ε) · cost + ε · Σ_j mean_v(-log p_j(v))``, over the slots that carry cost.
        reduction: ``none`` [B], ``sum``, or ``mean`` (over the target tokens of the batch).
        backend, overwrite_logits: see :func:`nat_plugin.alignments.slot_log_probs`.

    Raises:
        ValueError: δ < 0, ε out of range, shapes that do not fit, or an unknown reduction.
        FloatingPointError: NaN in the logits.
    """
    costs, _ = _costs_and_path(
        logits,
        targets,
        logit_lengths,
        target_lengths,
        blank_idx=blank_idx,
        skip_target_penalty=skip_target_penalty,
        observed=observed,
        observed_tokens=observed_tokens,
        causal=Causality.NONE,
        label_smoothing=label_smoothing,
        backend=backend,
        overwrite_logits=overwrite_logits,
    )
    return reduce_costs(costs, target_lengths, reduction)


def causal_axe_loss(
    logits: Tensor,
    targets: Tensor,
    logit_lengths: Tensor,
    target_lengths: Tensor,
    *,
    blank_idx: int,
    skip_target_penalty: float = 1.0,
    observed: Optional[Tensor] = None,
    observed_tokens: Optional[Tensor] = None,
    bar_skip_target: bool = False,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    backend: Optional[str] = None,
    overwrite_logits: bool = False,
) -> Tensor:
    """AXE in which slot j aligns with no target i < j (Haviv et al. 2021, §5); else :func:`axe_loss`.

    Args:
        bar_skip_target: no slot j takes such a target by *skip target* either. Under teacher forcing slot j sees the
            targets before j, and a *skip target* (clone prediction) holds it against a target as *align* does. Where
            only *align* is barred a path may skip each prediction first and then give the slot the target before it:
            a model that says ε and its input, a half each, pays 2 bits a target at δ = 1 without translating anything.
    """
    costs, _ = _costs_and_path(
        logits,
        targets,
        logit_lengths,
        target_lengths,
        blank_idx=blank_idx,
        skip_target_penalty=skip_target_penalty,
        observed=observed,
        observed_tokens=observed_tokens,
        causal=Causality.of(True, bar_skip_target),
        label_smoothing=label_smoothing,
        backend=backend,
        overwrite_logits=overwrite_logits,
    )
    return reduce_costs(costs, target_lengths, reduction)


def axe_alignment(
    logits: Tensor,
    targets: Tensor,
    logit_lengths: Tensor,
    target_lengths: Tensor,
    *,
    blank_idx: int,
    skip_target_penalty: float = 1.0,
    observed: Optional[Tensor] = None,
    observed_tokens: Optional[Tensor] = None,
    causal: bool = False,
    bar_skip_target: bool = False,
    backend: Optional[str] = None,
) -> AxeAlignment:
    """The best alignment alone; arguments and errors as in :func:`axe_loss`."""
    _, alignment = axe_loss_and_alignment(
        logits.detach(),
        targets,
        logit_lengths,
        target_lengths,
        blank_idx=blank_idx,
        skip_target_penalty=skip_target_penalty,
        observed=observed,
        observed_tokens=observed_tokens,
        causal=causal,
        bar_skip_target=bar_skip_target,
        backend=backend,
    )
    return alignment


def axe_loss_and_alignment(
    logits: Tensor,
    targets: Tensor,
    logit_lengths: Tensor,
    target_lengths: Tensor,
    *,
    blank_idx: int,
    skip_target_penalty: float = 1.0,
    observed: Optional[Tensor] = None,
    observed_tokens: Optional[Tensor] = None,
    causal: bool = False,
    bar_skip_target: bool = False,
    label_smoothing: float = 0.0,
    backend: Optional[str] = None,
    overwrite_logits: bool = False,
) -> tuple[Tensor, AxeAlignment]:
    """The cost of each sentence [B] and the alignment that it pays for; arguments and errors as in :func:`axe_loss`.

    Args:
        causal, bar_skip_target: as :func:`causal_axe_loss`, the second for causal AXE alone.
    """
    costs, path = _costs_and_path(
        logits,
        targets,
        logit_lengths,
        target_lengths,
        blank_idx=blank_idx,
        skip_target_penalty=skip_target_penalty,
        observed=observed,
        observed_tokens=observed_tokens,
        causal=Causality.of(causal, bar_skip_target),
        label_smoothing=label_smoothing,
        backend=backend,
        overwrite_logits=overwrite_logits,
    )
    return costs, path.describe(targets, blank_idx)


def _costs_and_path(
    logits: Tensor,
    targets: Tensor,
    logit_lengths: Tensor,
    target_lengths: Tensor,
    *,
    blank_idx: int,
    skip_target_penalty: float,
    observed: Optional[Tensor],
    observed_tokens: Optional[Tensor],
    causal: Causality,
    label_smoothing: float,
    backend: Optional[str],
    overwrite_logits: bool,
) -> tuple[Tensor, AxePath]:
    _check(logits, targets, logit_lengths, target_lengths, skip_target_penalty, observed, observed_tokens)
    check_label_smoothing(label_smoothing)
    lprobs = slot_log_probs(
        logits,
        torch.nn.functional.pad(targets, (0, 1), value=blank_idx),
        logit_lengths,
        mean=label_smoothing > 0,
        backend=backend,
        overwrite_logits=overwrite_logits,
    )
    # one split, whose gradient is one concatenation; two slices would have one of the whole window each
    target_lprobs, blank_column = lprobs.of_tokens.split([targets.size(1), 1], 2)
    blank_lprobs = blank_column.squeeze(2)
    free, free_blanks = _observed_for_free(targets, observed, observed_tokens, blank_idx)
    if free is not None:
        target_lprobs = target_lprobs.masked_fill(free, 0.0)
    if free_blanks is not None:
        blank_lprobs = blank_lprobs.masked_fill(free_blanks, 0.0)
    path = _find_path(
        choose_backend(logits, backend),
        target_lprobs,
        blank_lprobs,
        logit_lengths.to(torch.int64),
        target_lengths.to(torch.int64),
        skip_target_penalty,
        causal,
    )
    weights = path.target_weights(skip_target_penalty, free, target_lprobs.dtype)
    blanks = path.blank_slots()
    paid = target_lprobs.gather(1, path.positions.unsqueeze(1)).squeeze(1)
    costs = -torch.where(weights > 0, weights * paid, 0.0).sum(1) - blank_lprobs.masked_fill(~blanks, 0.0).sum(1)
    carries = blanks
    if label_smoothing:
        carries = blanks if free_blanks is None else blanks & ~free_blanks
        pays = torch.zeros_like(blanks, dtype=torch.int32).scatter_add_(1, path.positions, (weights > 0).int()) > 0
        carries = carries | pays
    return smooth_labels(costs, lprobs.mean, carries, label_smoothing), path


def _find_path(
    backend: Any,
    target_lprobs: Tensor,
    blank_lprobs: Tensor,
    logit_lengths: Tensor,
    target_lengths: Tensor,
    skip_target_penalty: float,
    causal: Causality,
) -> AxePath:
    _, m, n = target_lprobs.shape
    with torch.no_grad():
        positions, aligned = backend.axe_paths(
            target_lprobs.contiguous(),
            blank_lprobs.contiguous(),
            logit_lengths,
            target_lengths,
            float(skip_target_penalty),
            causal,
        )
    return AxePath(positions, aligned, length_mask(target_lengths, n), length_mask(logit_lengths, m))


def _observed_for_free(
    targets: Tensor, observed: Optional[Tensor], tokens: Optional[Tensor], blank_idx: int
) -> tuple[Optional[Tensor], Optional[Tensor]]:
    """Which targets cost nothing at which slots, [B, m, n] bool, and where blanks do, [B, m]; None for none."""
    if observed is None:
        return None, None
    if tokens is None:
        return torch.eye(targets.size(1), dtype=torch.bool, device=targets.device) & observed.unsqueeze(1), None
    shown = tokens.unsqueeze(2) == targets.unsqueeze(1)
    return shown & observed.unsqueeze(2), observed & (tokens == blank_idx)


def _check(
    logits: Tensor,
    targets: Tensor,
    logit_lengths: Tensor,
    target_lengths: Tensor,
    skip_target_penalty: float,
    observed: Optional[Tensor],
    observed_tokens: Optional[Tensor],
) -> None:
    if not 0 <= skip_target_penalty < math.inf:
        raise ValueError(f"skip_target_penalty must be 0 or more and finite, not {skip_target_penalty}")
    check_canvas_and_targets(logits, targets, logit_lengths, target_lengths)
    if observed is not None:
        if observed_tokens is None:
            check_one_slot_a_target(logits, targets, "an AXE with observed slots")
        check_slot_mask(observed, logits, "observed")
    if observed_tokens is not None:
        if observed is None:
            raise ValueError("observed_tokens are given, but not which slots are observed")
        check_slot_tokens(observed_tokens, logits, "observed_tokens")
