"""Aligned cross entropy (AXE), Ghazvininejad et al. 2020.

Algorithm 1 of the paper, for targets y_1..y_n and slots p_1..p_m::

    A[0,0] = 0;  A[i,0] = A[i-1,0] - δ log p_1(y_i);  A[0,j] = A[0,j-1] - log p_j(ε)
    A[i,j] = min( A[i-1,j-1] -   log p_j(y_i)     align
                  A[i,j-1]   -   log p_j(ε)       skip prediction
                  A[i-1,j]   - δ log p_j(y_i) )   skip target

The loss is A[n,m]. Its gradient flows through the chosen path only, so the program runs without autograd, one
anti-diagonal at a time for the whole batch, and :mod:`nat_plugin.alignments.path_cost` pays for the path it finds.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, Optional

import torch
from torch import Tensor

from nat_plugin.alignments.path_cost import log_normalizers, path_cost, reduce_costs


class AxeOperator(IntEnum):
    """The three moves of the recursion; ``NONE`` pads the list of a shorter sentence."""

    NONE = -1
    ALIGN = 0
    SKIP_PREDICTION = 1
    SKIP_TARGET = 2


class AxeAlignment(NamedTuple):
    """The best monotonic alignment of each sentence.

    Attributes:
        positions: [B, n] int64, the slot of each target; 0 beyond ``target_lengths``.
        operators: [B, n+m] int8, :class:`AxeOperator` in the order of the sentence, ``NONE`` at the end.
        tokens: [B, m] int64, the proxy target of each slot: the first target that it takes, or blank.
    """

    positions: Tensor
    operators: Tensor
    tokens: Tensor

    def occurrences(self, operator: AxeOperator) -> Tensor:
        """How often each sentence uses an operator: [B] int64."""
        return (self.operators == operator).sum(1)


def axe_loss(
    logits: Tensor,
    targets: Tensor,
    logit_lengths: Tensor,
    target_lengths: Tensor,
    *,
    blank_idx: int,
    skip_target_penalty: float = 1.0,
    observed: Optional[Tensor] = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
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
            own target i. Needs m = n.
        label_smoothing: ε of ``(1-ε) · cost + ε · Σ_j mean_v(-log p_j(v))``, over the slots that carry cost.
        reduction: ``none`` [B], ``sum``, or ``mean`` (over the target tokens of the batch).

    Raises:
        ValueError: δ < 0, shapes that do not fit, or an unknown reduction.
    """
    costs, _ = axe_loss_and_alignment(
        logits,
        targets,
        logit_lengths,
        target_lengths,
        blank_idx=blank_idx,
        skip_target_penalty=skip_target_penalty,
        observed=observed,
        label_smoothing=label_smoothing,
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
) -> AxeAlignment:
    """The best alignment alone; arguments and errors as in :func:`axe_loss`."""
    _check(logits, targets, skip_target_penalty, observed)
    return _align(
        logits,
        log_normalizers(logits),
        targets,
        logit_lengths,
        target_lengths,
        blank_idx=blank_idx,
        skip_target_penalty=skip_target_penalty,
        observed=observed,
    )


def axe_loss_and_alignment(
    logits: Tensor,
    targets: Tensor,
    logit_lengths: Tensor,
    target_lengths: Tensor,
    *,
    blank_idx: int,
    skip_target_penalty: float = 1.0,
    observed: Optional[Tensor] = None,
    label_smoothing: float = 0.0,
) -> tuple[Tensor, AxeAlignment]:
    """The cost of each sentence [B] and the alignment that it pays for; arguments and errors as in :func:`axe_loss`."""
    _check(logits, targets, skip_target_penalty, observed)
    normalizers = log_normalizers(logits)
    alignment = _align(
        logits,
        normalizers,
        targets,
        logit_lengths,
        target_lengths,
        blank_idx=blank_idx,
        skip_target_penalty=skip_target_penalty,
        observed=observed,
    )
    weights = _target_weights(alignment, target_lengths, skip_target_penalty, observed)
    blank_slots, blank_weights = _skipped_predictions(alignment, logits.size(1))
    costs = path_cost(
        logits,
        normalizers,
        torch.cat([alignment.positions, blank_slots], 1),
        torch.cat([targets, torch.full_like(blank_slots, blank_idx)], 1),
        torch.cat([weights, blank_weights], 1),
        label_smoothing,
    )
    return costs, alignment


def _check(logits: Tensor, targets: Tensor, skip_target_penalty: float, observed: Optional[Tensor]) -> None:
    if not skip_target_penalty >= 0:
        raise ValueError(f"skip_target_penalty must be 0 or more, not {skip_target_penalty}")
    if logits.dim() != 3 or targets.dim() != 2 or logits.size(0) != targets.size(0):
        raise ValueError(f"logits [B, m, V] and targets [B, n] do not fit: {logits.shape} and {targets.shape}")
    if logits.size(1) == 0:
        raise ValueError("logits have no slots: each sentence needs at least one")
    if observed is not None and (observed.shape != logits.shape[:2] or observed.shape != targets.shape):
        raise ValueError(f"observed slots need m = n: {observed.shape}, {logits.shape[:2]} and {targets.shape}")


def _align(
    logits: Tensor,
    normalizers: Tensor,
    targets: Tensor,
    logit_lengths: Tensor,
    target_lengths: Tensor,
    *,
    blank_idx: int,
    skip_target_penalty: float,
    observed: Optional[Tensor],
) -> AxeAlignment:
    with torch.no_grad():
        width = logits.size(1)
        chosen = logits.gather(2, targets.unsqueeze(1).expand(-1, width, -1)).to(normalizers.dtype)
        target_costs = (normalizers.unsqueeze(2) - chosen).transpose(1, 2)  # [B, n, m]
        if observed is not None:
            own = torch.eye(width, dtype=torch.bool, device=logits.device) & observed.unsqueeze(1)
            target_costs = target_costs.masked_fill(own, 0.0)
        blank_costs = normalizers - logits[:, :, blank_idx].to(normalizers.dtype)
        choices = _choose_operators(target_costs, blank_costs, skip_target_penalty)
        return _trace_back(choices, targets, logit_lengths, target_lengths, width, blank_idx)


def _choose_operators(target_costs: Tensor, blank_costs: Tensor, skip_target_penalty: float) -> Tensor:
    """The best operator into each cell, as int8 [n+m+1, B, n+1]: entry (d, b, i) belongs to cell A[i, d-i].

    Ties go to align, then to skip prediction. Cells outside the table hold nothing of use.
    """
    batch, n, m = target_costs.shape
    device, infinity = target_costs.device, float("inf")
    diagonals = n + m + 1
    row = torch.arange(n + 1, device=device)
    column = torch.arange(diagonals, device=device).unsqueeze(1) - row  # j of cell (d, i)
    # costs of cell (d, i), skewed so that a diagonal is a row; slot 1 pays for targets skipped before any slot (j = 0)
    in_table = (column >= 0) & (column <= m)
    slot = (column.clamp(1, m) - 1).expand(batch, -1, -1)
    padded = torch.nn.functional.pad(target_costs, (0, 0, 1, 0))  # row 0 has no target
    flat_index = (row * m + slot).flatten(1)
    target = padded.reshape(batch, -1).gather(1, flat_index).view(batch, diagonals, n + 1)
    blank = blank_costs.gather(1, slot.flatten(1)).view(batch, diagonals, n + 1)
    # log 0 would make inf - inf of two unusable moves; a finite stand-in keeps the order of all usable ones
    largest = torch.finfo(target.dtype).max / (4 * diagonals)
    target = target.clamp(max=largest)
    skip_target = (target * skip_target_penalty).clamp(max=largest)
    blank = blank.clamp(max=largest)
    align_cost = target.masked_fill(~((row > 0) & (column > 0) & in_table), infinity)
    skip_prediction_cost = blank.masked_fill(~((column > 0) & in_table), infinity)
    skip_target_cost = skip_target.masked_fill(~((row > 0) & in_table), infinity)

    choices = torch.empty(diagonals, batch, n + 1, dtype=torch.int8, device=device)
    older = torch.full((batch, n + 1), infinity, dtype=target.dtype, device=device)
    previous = older.clone()
    previous[:, 0] = 0.0
    for diagonal in range(1, diagonals):
        align = align_cost[:, diagonal] + _from_row_above(older)
        skip_prediction = skip_prediction_cost[:, diagonal] + previous
        skip_target = skip_target_cost[:, diagonal] + _from_row_above(previous)
        best, choice = torch.stack((align, skip_prediction, skip_target)).min(0)
        choices[diagonal] = choice
        older, previous = previous, best
    return choices


def _from_row_above(values: Tensor) -> Tensor:
    """Shift [B, n+1] by one row; row 0 has none above it."""
    return torch.nn.functional.pad(values[:, :-1], (1, 0), value=float("inf"))


def _trace_back(
    choices: Tensor, targets: Tensor, logit_lengths: Tensor, target_lengths: Tensor, width: int, blank_idx: int
) -> AxeAlignment:
    batch, n = targets.shape
    device = targets.device
    sentence = torch.arange(batch, device=device)
    i, j = target_lengths.to(torch.int64), logit_lengths.to(torch.int64)
    end = i + j
    operators = torch.full((batch, n + width + 1), int(AxeOperator.NONE), dtype=torch.int8, device=device)
    # one extra column takes the writes of sentences that have already arrived at (0, 0)
    positions = torch.zeros(batch, n + 1, dtype=torch.int64, device=device)
    tokens = torch.full((batch, width + 1), blank_idx, dtype=torch.int64, device=device)
    padded_targets = torch.nn.functional.pad(targets, (0, 1))
    for _ in range(n + width):
        active = (i + j) > 0
        operator = choices[i + j, sentence, i]
        operators[sentence, torch.where(active, i + j - 1, n + width)] = operator
        takes_target = active & (operator != AxeOperator.SKIP_PREDICTION)
        target = torch.where(takes_target, i - 1, n)
        slot = torch.where(takes_target, (j - 1).clamp(min=0), width)
        positions[sentence, target] = slot.clamp(max=width - 1)
        # walking backwards, the last write to a slot is its first target
        tokens[sentence, slot] = padded_targets[sentence, target]
        i = torch.where(takes_target, i - 1, i)
        j = torch.where(active & (operator != AxeOperator.SKIP_TARGET), j - 1, j)
    operators = _close_gaps(operators[:, :-1], end)
    positions = positions[:, :-1].masked_fill(torch.arange(n, device=device) >= target_lengths.unsqueeze(1), 0)
    return AxeAlignment(positions, operators, tokens[:, :-1])


def _close_gaps(operators: Tensor, ends: Tensor) -> Tensor:
    """An operator stands at its cell's diagonal; an align spans two, so close the gaps, keeping the order."""
    filled = operators != AxeOperator.NONE
    place = torch.arange(operators.size(1), device=operators.device)
    order = torch.where(filled, place, place + operators.size(1)).argsort(1)
    return operators.gather(1, order)


def _target_weights(
    alignment: AxeAlignment, target_lengths: Tensor, skip_target_penalty: float, observed: Optional[Tensor]
) -> Tensor:
    """What each target pays its slot with: 1 where aligned, δ where skipped, 0 where observed or padding: [B, n]."""
    positions, operators, _ = alignment
    n = positions.size(1)
    # the k-th operator that consumes a target belongs to target k
    consumes = (operators == AxeOperator.ALIGN) | (operators == AxeOperator.SKIP_TARGET)
    target = torch.where(consumes, consumes.cumsum(1) - 1, n)
    skipped = torch.zeros(positions.size(0), n + 1, dtype=torch.bool, device=positions.device)
    skipped.scatter_(1, target, operators == AxeOperator.SKIP_TARGET)
    weights = torch.where(skipped[:, :-1], skip_target_penalty, 1.0)
    index = torch.arange(n, device=positions.device)
    free = index >= target_lengths.unsqueeze(1)
    if observed is not None:
        free = free | (observed & (positions == index))
    return weights.masked_fill(free, 0.0)


def _skipped_predictions(alignment: AxeAlignment, width: int) -> tuple[Tensor, Tensor]:
    """All slots [B, m], and 1 for those that the path passes over with a blank [B, m]."""
    operators = alignment.operators
    batch = operators.size(0)
    consumes = (operators == AxeOperator.ALIGN) | (operators == AxeOperator.SKIP_PREDICTION)
    slot = torch.where(consumes, consumes.cumsum(1) - 1, width)
    skipped = torch.zeros(batch, width + 1, device=operators.device)
    skipped.scatter_(1, slot, (operators == AxeOperator.SKIP_PREDICTION).to(skipped.dtype))
    slots = torch.arange(width, device=operators.device).expand(batch, -1)
    return slots, skipped[:, :-1]
