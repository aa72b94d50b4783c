"""AXE by enumeration of every operator sequence of the recursion (not of the paper's α: they differ for δ < 1)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from nat_plugin.alignments.causality import Causality

ALIGN, SKIP_PREDICTION, SKIP_TARGET = 0, 1, 2


def operator_sequences(n: int, m: int) -> Iterator[tuple[int, ...]]:
    """All sequences of moves from (0, 0) to (n, m)."""
    if n == 0 and m == 0:
        yield ()
        return
    for move, (targets, slots) in {ALIGN: (1, 1), SKIP_PREDICTION: (0, 1), SKIP_TARGET: (1, 0)}.items():
        if targets <= n and slots <= m:
            for rest in operator_sequences(n - targets, m - slots):
                yield (*rest, move)


def sequence_cost(
    moves: tuple[int, ...], lprobs: Tensor, targets: list[int], blank: int, delta: float, observed: list[bool] | None
) -> Tensor:
    """The cost of one operator sequence; differentiable."""
    i = j = 0
    total = lprobs.new_zeros(())
    for move in moves:
        if move == SKIP_PREDICTION:
            j += 1
            total = total - lprobs[j - 1, blank]
            continue
        i += 1
        j += move == ALIGN
        slot = max(j, 1) - 1
        if observed is not None and observed[slot] and slot == i - 1:
            continue
        total = total - (delta if move == SKIP_TARGET else 1.0) * lprobs[slot, targets[i - 1]]
    return total


def is_allowed(moves: tuple[int, ...], causality: Causality) -> bool:
    """Whether no slot j does with a target i < j what ``causality`` bars."""
    barred = {Causality.NONE: (), Causality.ALIGN: (ALIGN,), Causality.TARGETS: (ALIGN, SKIP_TARGET)}[causality]
    i = j = 0
    for move in moves:
        i += move != SKIP_PREDICTION
        j += move != SKIP_TARGET
        if move in barred and i < j:
            return False
    return True


def axe(
    lprobs: Tensor,
    targets: list[int],
    blank: int,
    delta: float,
    observed: list[bool] | None = None,
    causality: Causality = Causality.NONE,
) -> tuple[Tensor, tuple[int, ...]]:
    """The least cost and a sequence that has it."""
    sequences = [moves for moves in operator_sequences(len(targets), lprobs.size(0)) if is_allowed(moves, causality)]
    costs = [sequence_cost(moves, lprobs, targets, blank, delta, observed) for moves in sequences]
    best = min(range(len(costs)), key=lambda index: costs[index].item())
    return costs[best], sequences[best]
