"""What an AXE path says: operators, proxy targets, and who pays for which slot."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, Optional

import torch
from torch import Tensor


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


class AxePath(NamedTuple):
    """The best path as a backend gives it.

    Attributes:
        positions: [B, n] int64, the slot of each target; 0 beyond the target's length.
        aligned: [B, n] bool, True where the target is aligned, False where it is skipped.
        real_targets: [B, n] bool.
        real_slots: [B, m] bool.
    """

    positions: Tensor
    aligned: Tensor
    real_targets: Tensor
    real_slots: Tensor

    def blank_slots(self) -> Tensor:
        """Slots that the path passes over with a skipped prediction: those that no target is aligned with; [B, m]."""
        taken = torch.zeros_like(self.real_slots, dtype=torch.int8)
        taken.scatter_add_(1, self.positions, self.aligned.to(torch.int8))
        return self.real_slots & (taken == 0)

    def target_weights(self, skip_target_penalty: float, free: Optional[Tensor], dtype: torch.dtype) -> Tensor:
        """What each target pays its slot with: 1 if aligned, δ if skipped, 0 if free there or padding: [B, n].

        Args:
            free: [B, m, n] bool, targets that a slot shows.
        """
        weights = torch.where(self.aligned, 1.0, skip_target_penalty).to(dtype)
        unpaid = ~self.real_targets
        if free is not None:
            unpaid = unpaid | free.gather(1, self.positions.unsqueeze(1)).squeeze(1)
        return weights.masked_fill(unpaid, 0.0)

    def describe(self, targets: Tensor, blank_idx: int) -> AxeAlignment:
        """Operators and proxy targets of this path; ``targets`` are [B, n]."""
        return AxeAlignment(self.positions, self._operators(), self._proxy_tokens(targets, blank_idx))

    def _proxy_tokens(self, targets: Tensor, blank_idx: int) -> Tensor:
        n = targets.size(1)
        first = torch.full_like(self.real_slots, n, dtype=torch.int64)
        index = torch.arange(n, device=targets.device).expand_as(targets)
        # padding "takes" its slot as target number n, which is none
        first.scatter_reduce_(1, self.positions, torch.where(self.real_targets, index, n), "amin")
        with_blank = torch.nn.functional.pad(targets, (0, 1), value=blank_idx)
        return with_blank.gather(1, first)

    def _operators(self) -> Tensor:
        """Operators in the order of the path: each stands at its cell (i, j), and i + j only grows along a path."""
        batch, n = self.positions.shape
        width = self.real_slots.size(1)
        device = self.positions.device
        slots = torch.arange(1, width + 1, device=device).repeat(batch, 1)
        columns = self._columns()
        never = n + width + 1  # behind every cell
        consumed = torch.searchsorted(columns.masked_fill(~self.real_targets, never), slots)
        rows = torch.arange(1, n + 1, device=device)
        blanks = self.blank_slots()
        cells = torch.cat(
            [
                (rows + columns).masked_fill(~self.real_targets, never),
                (consumed + slots).masked_fill(~blanks, never),
            ],
            1,
        )
        operator = torch.cat(
            [
                torch.where(self.aligned, int(AxeOperator.ALIGN), int(AxeOperator.SKIP_TARGET)),
                torch.full_like(slots, int(AxeOperator.SKIP_PREDICTION)),
            ],
            1,
        ).to(torch.int8)
        ordered, order = cells.sort(1)
        return operator.gather(1, order).masked_fill(ordered == never, int(AxeOperator.NONE))

    def _columns(self) -> Tensor:
        """The column of each target's cell: its slot's number from 1; 0 for those skipped before any slot is passed.

        A target that is skipped at the first slot before another is aligned there stands in column 0.
        """
        first_slot = self.positions == 0
        aligned_there = self.aligned & first_slot
        comes_before = aligned_there.flip(1).cumsum(1).flip(1) > 0
        before_any = first_slot & ~self.aligned & comes_before & self.real_targets
        return (self.positions + 1).masked_fill(before_any, 0)
