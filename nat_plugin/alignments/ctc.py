"""Connectionist temporal classification (CTC), Graves et al. 2006, as a translation loss (Gu & Kong 2021, §3.3).

A path gives every slot a target or blank; merging equal neighbours and dropping blanks makes a sentence of it. The loss
is -log of the summed probability of all paths that make the target, over the slots' 2n+1 possible symbols::

    α_j(s) = p_j(symbol_s) · (α_{j-1}(s) + α_{j-1}(s-1) + [symbol_s not in {ε, symbol_{s-2}}] α_{j-1}(s-2))

The gradient with respect to log p_j(symbol) is minus the posterior probability that slot j says it. A target fits where
n + (adjacent repeats) ≤ m.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Optional

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nat_plugin.alignments import nan_report
from nat_plugin.alignments.backends import choose_backend
from nat_plugin.alignments.checks import check_canvas_and_targets, check_label_smoothing
from nat_plugin.alignments.reduction import reduce_costs, smooth_labels
from nat_plugin.alignments.slot_log_probs import slot_log_probs
from nat_plugin.padding import length_mask


def ctc_fits(targets: Tensor, logit_lengths: Tensor, target_lengths: Tensor) -> Tensor:
    """Whether each target has a path through its slots, n + (adjacent repeats) ≤ m: [B] bool.

    Args:
        targets: [B, n] int64.
        logit_lengths, target_lengths: [B].
    """
    place = torch.arange(1, max(targets.size(1), 1), device=targets.device)
    repeats = (targets[:, 1:] == targets[:, :-1]) & (place < target_lengths.unsqueeze(1))
    return target_lengths + repeats.sum(1) <= logit_lengths


def ctc_loss(
    logits: Tensor,
    targets: Tensor,
    logit_lengths: Tensor,
    target_lengths: Tensor,
    *,
    blank_idx: int,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    backend: Optional[str] = None,
    overwrite_logits: bool = False,
) -> Tensor:
    """-log p(y | x) of each sentence, summed over all its CTC paths, in nats.

    A sentence whose target cannot fit costs infinity and has no gradient but that of label smoothing: it is for the
    caller to ask :func:`ctc_fits`, leave such sentences out and say how many there were.

    Args:
        logits: [B, m, V].
        targets: [B, n] int64, without blanks; any token in range beyond ``target_lengths``.
        logit_lengths: [B], slots of each sentence, 1..m.
        target_lengths: [B], 0..n.
        blank_idx: the id of ε.
        label_smoothing: ε of ``(1-ε) · cost + ε · Σ_j mean_v(-log p_j(v))`` over the sentence's slots.
        reduction: ``none`` [B], ``sum``, or ``mean`` (over the target tokens of the batch).
        backend, overwrite_logits: see :func:`nat_plugin.alignments.slot_log_probs`.

    Raises:
        ValueError: shapes that do not fit, ε out of range, or an unknown reduction.
        FloatingPointError: NaN in the logits.
    """
    check_canvas_and_targets(logits, targets, logit_lengths, target_lengths)
    check_label_smoothing(label_smoothing)
    lprobs = slot_log_probs(
        logits,
        _with_blank(targets, blank_idx),
        logit_lengths,
        mean=label_smoothing > 0,
        backend=backend,
        overwrite_logits=overwrite_logits,
    )
    costs = _CtcCost.apply(
        lprobs.of_tokens, targets, logit_lengths, target_lengths, choose_backend(logits, backend).ctc_occupancy
    )
    real = length_mask(logit_lengths, logits.size(1))
    return reduce_costs(smooth_labels(costs, lprobs.mean, real, label_smoothing), target_lengths, reduction)


def ctc_best_alignment(
    logits: Tensor,
    targets: Tensor,
    logit_lengths: Tensor,
    target_lengths: Tensor,
    *,
    blank_idx: int,
    backend: Optional[str] = None,
) -> Tensor:
    """The most probable path of each sentence (Viterbi): [B, m] int64, a target or blank in each slot.

    Slots beyond the length, and all slots of a sentence that cannot fit, hold blank. The normaliser of a slot shifts
    all its symbols alike, so only n+1 logits a slot are read, and looked at for NaN. Arguments and errors as in
    :func:`ctc_loss`.
    """
    check_canvas_and_targets(logits, targets, logit_lengths, target_lengths)
    chosen = choose_backend(logits, backend)
    with torch.no_grad():
        tokens = _with_blank(targets, blank_idx)
        lengths, goals = logit_lengths.to(torch.int64), target_lengths.to(torch.int64)
        window = chosen.gather_logits(logits, tokens.unsqueeze(1), lengths)
        no_logit = window.isnan() | (window == math.inf)  # -inf is one, of what cannot be
        nan_report.watch(torch.where(no_logit, math.nan, 0.0).sum(2))
        columns: Tensor = chosen.ctc_best_paths(window, targets, lengths, goals)
        return tokens.gather(1, columns)


class CtcStatistics(NamedTuple):
    """What each slot of the best alignments does, as counts over the sentences; [B] int64 each.

    Attributes:
        targets: slots that begin a target.
        repeats: slots that say the target of the slot before once more.
        blanks: slots that say blank.
    """

    targets: Tensor
    repeats: Tensor
    blanks: Tensor


def ctc_statistics(tokens: Tensor, logit_lengths: Tensor, *, blank_idx: int) -> CtcStatistics:
    """Count the operators of alignments [B, m] from :func:`ctc_best_alignment`."""
    real = length_mask(logit_lengths, tokens.size(1))
    blanks = real & (tokens == blank_idx)
    repeats = torch.zeros_like(real)
    repeats[:, 1:] = (tokens[:, 1:] == tokens[:, :-1]) & real[:, 1:] & ~blanks[:, 1:]
    return CtcStatistics((real & ~blanks & ~repeats).sum(1), repeats.sum(1), blanks.sum(1))


def _with_blank(targets: Tensor, blank_idx: int) -> Tensor:
    return torch.nn.functional.pad(targets, (0, 1), value=blank_idx)


class _CtcCost(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, lprobs: Tensor, targets: Tensor, logit_lengths: Tensor, target_lengths: Tensor, occupancy_of: Any
    ) -> Tensor:
        lengths, goals = logit_lengths.to(torch.int64), target_lengths.to(torch.int64)
        costs: Tensor
        costs, occupancy = occupancy_of(lprobs, targets, lengths, goals)
        ctx.save_for_backward(occupancy)
        return costs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_costs: Tensor) -> tuple[Tensor, None, None, None, None]:
        (occupancy,) = ctx.saved_tensors
        return occupancy * -grad_costs.view(-1, 1, 1), None, None, None, None
