"""Monotonic alignments as sequences of operators: Table 1 of Haviv et al. 2021, for AXE and CTC alike.

=================  ===============================================================  ===  ===  ========================
operator           what prediction j does                                           CTC  AXE  in the AXE paper
=================  ===============================================================  ===  ===  ========================
align              is the first to be held against target i                          x    x   align
clone target       is held against the target of the prediction before once more     x
clone prediction   is held against one more target                                        x   skip target
delimiter          says ε                                                            x    x   skip prediction
=================  ===============================================================  ===  ===  ========================
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from nat_plugin.alignments import AxeAlignment, AxeOperator


class Operator(str, Enum):
    """By the names of Haviv et al. 2021."""

    ALIGN = "align"
    CLONE_TARGET = "clone target"
    CLONE_PREDICTION = "clone prediction"
    DELIMITER = "delimiter"


_OF_AXE = {
    AxeOperator.ALIGN: Operator.ALIGN,
    AxeOperator.SKIP_PREDICTION: Operator.DELIMITER,
    AxeOperator.SKIP_TARGET: Operator.CLONE_PREDICTION,
}


@dataclass(frozen=True)
class Step:
    """One operator: which prediction it uses, and for which target.

    Attributes:
        slot: from 0.
        target: from 0; None for a delimiter.
    """

    operator: Operator
    slot: int
    target: int | None


@dataclass(frozen=True)
class MonotonicAlignment:
    """The alignment of one sentence: n targets, m predictions, and the operators in their order."""

    targets: int
    slots: int
    steps: tuple[Step, ...]

    @property
    def is_trivial(self) -> bool:
        """Whether prediction i is aligned with target i throughout, as in cross entropy."""
        return self.targets == self.slots == len(self.steps) and self.counts[Operator.ALIGN] == self.targets

    @property
    def is_constant(self) -> bool:
        """Whether it is the one that teacher forcing is gamed with: each prediction but the first is held against the
        target before its own, and the last against its own too (Haviv et al. 2021, §5)."""
        expected = [Operator.DELIMITER, *[Operator.ALIGN] * (self.targets - 1), Operator.CLONE_PREDICTION]
        return self.targets == self.slots > 1 and [step.operator for step in self.steps] == expected

    @property
    def counts(self) -> dict[Operator, int]:
        """How often each operator is used."""
        return {operator: sum(step.operator == operator for step in self.steps) for operator in Operator}

    def predictions_of_own_input(self, copies: int = 1) -> int:
        """How many predictions are held against a target that teacher forcing has fed in before them.

        Args:
            copies: how often each target token is fed; prediction j (from 0) sees the targets before j // copies.
        """
        seen = {step.slot for step in self.steps if step.target is not None and step.target < step.slot // copies}
        return len(seen)

    @property
    def pattern(self) -> str:
        """The operators with runs of one put together: ``delimiter, align …, clone prediction``.

        How long a run of *align* is depends on the sentence and is left out; other runs have their number. What CTC's
        targets are cloned with belongs to their *align*: ``2 × delimiter, align + clone target …, align …``.
        """
        parts = []
        for (operator, clones), run in itertools.groupby(self._with_their_clones()):
            length = len(list(run))
            if operator == Operator.ALIGN:
                cloned = f" + {_times(clones, Operator.CLONE_TARGET)}" if clones else ""
                parts.append(f"align{cloned} …")
            else:
                parts.append(_times(length, operator))
        return ", ".join(parts) or "nothing"

    def _with_their_clones(self) -> list[tuple[Operator, int]]:
        """The operators, each with how often its target is cloned after it, in place of those clones."""
        found: list[tuple[Operator, int]] = []
        for step in self.steps:
            if step.operator == Operator.CLONE_TARGET:
                operator, clones = found.pop()
                found.append((operator, clones + 1))
            else:
                found.append((step.operator, 0))
        return found

    @property
    def slots_of_targets(self) -> tuple[tuple[int, ...], ...]:
        """α: the predictions that each target is held against, from 0."""
        found: list[list[int]] = [[] for _ in range(self.targets)]
        for step in self.steps:
            if step.target is not None:
                found[step.target].append(step.slot)
        return tuple(map(tuple, found))


def _times(number: int, operator: Operator) -> str:
    return operator.value if number == 1 else f"{number} × {operator.value}"


def of_axe(alignment: AxeAlignment, slots: Tensor, targets: Tensor) -> list[MonotonicAlignment]:
    """AXE's alignments of a batch.

    Args:
        slots, targets: [B], how many each sentence has.
    """
    rows = zip(
        alignment.operators.tolist(), alignment.positions.tolist(), slots.tolist(), targets.tolist(), strict=True
    )
    return [_of_axe_row(*row) for row in rows]


def _of_axe_row(operators: Sequence[int], positions: Sequence[int], slots: int, targets: int) -> MonotonicAlignment:
    steps = []
    target = passed = 0
    for number in operators:
        if number == AxeOperator.NONE:
            break
        operator = _OF_AXE[AxeOperator(number)]
        if operator == Operator.DELIMITER:
            steps.append(Step(operator, passed, None))
            passed += 1
            continue
        steps.append(Step(operator, positions[target], target))
        passed = positions[target] + 1 if operator == Operator.ALIGN else passed
        target += 1
    return MonotonicAlignment(targets, slots, tuple(steps))


def of_ctc(paths: Tensor, slots: Tensor, targets: Tensor, blank_idx: int) -> list[MonotonicAlignment | None]:
    """CTC's alignments of a batch; None for a sentence that has none.

    Args:
        paths: [B, m] int64, of :func:`nat_plugin.alignments.ctc_best_alignment`.
        slots, targets: [B], how many each sentence has.
    """
    blank = paths == blank_idx
    starts = ~blank
    starts[:, 1:] &= paths[:, 1:] != paths[:, :-1]
    starts &= torch.arange(paths.size(1), device=paths.device) < slots.unsqueeze(1)
    index = starts.cumsum(1) - 1
    found: list[MonotonicAlignment | None] = []
    for row, (m, n) in enumerate(zip(slots.tolist(), targets.tolist(), strict=True)):
        if int(starts[row].sum()) != n:
            found.append(None)
            continue
        steps = []
        columns = zip(blank[row, :m].tolist(), starts[row, :m].tolist(), index[row, :m].tolist(), strict=True)
        for slot, (is_blank, is_start, target) in enumerate(columns):
            if is_blank:
                steps.append(Step(Operator.DELIMITER, slot, None))
            else:
                steps.append(Step(Operator.ALIGN if is_start else Operator.CLONE_TARGET, slot, target))
        found.append(MonotonicAlignment(n, m, tuple(steps)))
    return found
