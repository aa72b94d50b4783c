"""Alignments as operators: against the recursion's own moves, and the papers' examples."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nat_plugin.alignments import AxeAlignment, axe_alignment, ctc_best_alignment
from nat_plugin.analysis.monotonic_alignment import MonotonicAlignment, Operator, Step, of_axe, of_ctc
from tests.alignments.problems import lengths

V, BLANK = 6, 5
A, T, P, D = Operator.ALIGN, Operator.CLONE_TARGET, Operator.CLONE_PREDICTION, Operator.DELIMITER


def problem(sizes: list[tuple[int, int]], seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, targets, slots and lengths of a batch of (targets, slots)."""
    generator = torch.Generator().manual_seed(seed)
    n, m = (max(size[side] for size in sizes) for side in (0, 1))
    logits = 3 * torch.randn(len(sizes), m, V, generator=generator)
    targets = torch.randint(0, BLANK, (len(sizes), n), generator=generator)
    return logits, targets, lengths(*(size[1] for size in sizes)), lengths(*(size[0] for size in sizes))


SIZES = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 7)), min_size=1, max_size=3)


@given(sizes=SIZES, seed=st.integers(0, 1000), delta=st.sampled_from([0.5, 1.0, 3.0]))
def test_axe_steps_are_the_moves_of_the_recursion(sizes: list[tuple[int, int]], seed: int, delta: float) -> None:
    logits, targets, slots, goals = problem(sizes, seed)
    alignment = axe_alignment(logits, targets, slots, goals, blank_idx=BLANK, skip_target_penalty=delta)
    for row, found in enumerate(of_axe(alignment, slots, goals)):
        i = j = 0
        for step in found.steps:
            i += step.operator in (A, P)
            j += step.operator in (A, D)
            assert step.slot == max(j, 1) - 1  # before any slot is passed the first one pays
            assert step.target == (None if step.operator == D else i - 1)
        assert (i, j) == (found.targets, found.slots) == tuple(sizes[row])
        assert found.slots_of_targets == tuple((slot,) for slot in alignment.positions[row, : goals[row]].tolist())
        assert found.is_trivial == (i == j and all(step.operator == A for step in found.steps))


@given(sizes=SIZES, seed=st.integers(0, 1000))
def test_ctc_steps_say_the_target(sizes: list[tuple[int, int]], seed: int) -> None:
    logits, targets, slots, goals = problem(sizes, seed)
    paths = ctc_best_alignment(logits, targets, slots, goals, blank_idx=BLANK)
    for row, found in enumerate(of_ctc(paths, slots, goals, BLANK)):
        n, m = sizes[row]
        repeats = sum(targets[row, i] == targets[row, i - 1] for i in range(1, n))
        if found is None:
            assert n + repeats > m
            continue
        assert n + repeats <= m
        assert [step.slot for step in found.steps] == list(range(m))
        said = [BLANK if step.target is None else int(targets[row, step.target]) for step in found.steps]
        assert said == paths[row, :m].tolist()
        assert [step.target for step in found.steps if step.operator == A] == list(range(n))
        assert P not in [step.operator for step in found.steps]


def alignment(targets: int, slots: int, *moves: tuple[Operator, int, int | None]) -> MonotonicAlignment:
    return MonotonicAlignment(targets, slots, tuple(Step(*move) for move in moves))


def test_figure_1_of_haviv_et_al() -> None:
    """ "it is rainy today EOS" against "it is so rainy today": α = (1, 2, 4, 5, 5)."""
    found = of_axe(
        AxeAlignment(
            torch.tensor([[0, 1, 3, 4, 4]]),
            torch.tensor([[0, 0, 1, 0, 0, 2, -1, -1, -1, -1]], dtype=torch.int8),
            torch.zeros(1, 5, dtype=torch.int64),
        ),
        lengths(5),
        lengths(5),
    )[0]
    assert found.slots_of_targets == ((0,), (1,), (3,), (4,), (4,))
    assert found.pattern == "align …, delimiter, align …, clone prediction"
    assert (found.is_trivial, found.is_constant) == (False, False)
    assert found.predictions_of_own_input() == 2  # predictions 4 and 5 take targets 3 and 4


@pytest.mark.parametrize("n", [2, 3, 30])
def test_the_constant_alignment(n: int) -> None:
    moves = [(D, 0, None), *((A, i + 1, i) for i in range(n - 1)), (P, n - 1, n - 1)]
    found = alignment(n, n, *moves)
    assert found.is_constant
    assert found.pattern == "delimiter, align …, clone prediction"
    assert found.predictions_of_own_input() == n - 1
    assert found.counts == {A: n - 1, T: 0, P: 1, D: 1}


def test_the_trivial_one_and_one_that_only_looks_like_it() -> None:
    assert alignment(3, 3, *((A, i, i) for i in range(3))).is_trivial
    assert not alignment(1, 2, (A, 0, 0), (D, 1, None)).is_trivial
    assert alignment(3, 3, *((A, i, i) for i in range(3))).predictions_of_own_input() == 0


def test_fed_twice_a_prediction_has_seen_the_targets_before_half_its_place() -> None:
    """ε ε y1 y1 y2 </s>, of inputs </s> </s> y1 y1 y2 y2: three predictions say their own input."""
    moves = [(D, 0, None), (D, 1, None), (A, 2, 0), (T, 3, 0), (A, 4, 1), (A, 5, 2)]
    found = alignment(3, 6, *moves)
    assert found.predictions_of_own_input(2) == 3
    assert found.slots_of_targets == ((2, 3), (4,), (5,))
    assert found.pattern == "2 × delimiter, align + clone target …, align …"


def test_targets_that_are_cloned_differently() -> None:
    moves = [(A, 0, 0), (T, 1, 0), (T, 2, 0), (A, 3, 1), (T, 4, 1), (A, 5, 2), (T, 6, 2), (D, 7, None)]
    assert alignment(3, 8, *moves).pattern == "align + 2 × clone target …, align + clone target …, delimiter"


def test_no_target_at_all() -> None:
    nothing = torch.zeros(1, 0, dtype=torch.int64)
    made = axe_alignment(torch.zeros(1, 2, V), nothing, lengths(2), lengths(0), blank_idx=BLANK)
    [found] = of_axe(made, lengths(2), lengths(0))
    assert found.pattern == "2 × delimiter"
    assert not found.is_trivial
