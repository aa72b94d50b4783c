"""AXE against enumeration, and what must hold of it whatever the input."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nat_plugin.alignments import (
    AxeOperator,
    axe_alignment,
    axe_loss,
    axe_loss_and_alignment,
    causal_axe_loss,
    label_smoothed_cross_entropy,
)
from nat_plugin.alignments.causality import Causality
from tests.alignments import brute_force
from tests.alignments.problems import BACKENDS, lengths

V, BLANK = 5, 4
DELTAS = (0.0, 0.5, 1.0, 3.0)


def problem(n: int, m: int, seed: int, sharpness: float = 2.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, m, V, generator=generator, dtype=torch.float64) * sharpness
    return logits, torch.randint(0, V, (1, n), generator=generator)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("causality", Causality)
@given(
    n=st.integers(0, 4),
    m=st.integers(1, 4),
    seed=st.integers(0, 10_000),
    delta=st.sampled_from(DELTAS),
    sharpness=st.sampled_from([0.0, 1.0, 4.0]),
)
def test_loss_and_gradient_equal_enumeration(
    backend: str, causality: Causality, n: int, m: int, seed: int, delta: float, sharpness: float
) -> None:
    logits, targets = problem(n, m, seed, sharpness)
    ours = logits.clone().requires_grad_()
    loss, alignment = axe_loss_and_alignment(
        ours,
        targets,
        lengths(m),
        lengths(n),
        blank_idx=BLANK,
        skip_target_penalty=delta,
        causal=causality > Causality.NONE,
        bar_skip_target=causality == Causality.TARGETS,
        backend=backend,
    )
    theirs = logits.clone().requires_grad_()
    lprobs = theirs.log_softmax(-1)[0]
    expected, _ = brute_force.axe(lprobs, targets[0].tolist(), BLANK, delta, causality=causality)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-9)

    # where several paths cost the same, ours may be another one: its own gradient must then be right
    moves = tuple(op for op in alignment.operators[0].tolist() if op != AxeOperator.NONE)
    assert brute_force.is_allowed(moves, causality)
    own_cost = brute_force.sequence_cost(moves, lprobs, targets[0].tolist(), BLANK, delta, None)
    assert own_cost.item() == pytest.approx(expected.item(), abs=1e-9)
    loss.sum().backward()
    if own_cost.requires_grad:
        own_cost.backward()
        torch.testing.assert_close(ours.grad, theirs.grad)


@given(n=st.integers(1, 4), seed=st.integers(0, 10_000), delta=st.sampled_from(DELTAS), hidden=st.integers(0, 15))
def test_observed_slots_cost_nothing_for_their_own_token(n: int, seed: int, delta: float, hidden: int) -> None:
    logits, targets = problem(n, n, seed)
    observed = [bool(hidden >> place & 1) for place in range(n)]
    loss = axe_loss(
        logits,
        targets,
        lengths(n),
        lengths(n),
        blank_idx=BLANK,
        skip_target_penalty=delta,
        observed=torch.tensor([observed]),
        reduction="sum",
    )
    expected, _ = brute_force.axe(logits.log_softmax(-1)[0], targets[0].tolist(), BLANK, delta, observed)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-9)


@given(
    n=st.integers(0, 4),
    m=st.integers(1, 4),
    seed=st.integers(0, 10_000),
    delta=st.sampled_from(DELTAS),
    hidden=st.integers(0, 15),
    smoothing=st.sampled_from([0.0, 0.1]),
)
def test_a_slot_that_shows_any_token_says_it_for_sure(
    n: int, m: int, seed: int, delta: float, hidden: int, smoothing: float
) -> None:
    """As if its log-probability were 0, and with no gradient and no label smoothing for it."""
    logits, targets = problem(n, m, seed)
    observed = torch.tensor([[bool(hidden >> place & 1) for place in range(m)]])
    generator = torch.Generator().manual_seed(seed)
    choices = torch.cat([targets[0], torch.tensor([BLANK, BLANK])])
    tokens = choices[torch.randint(len(choices), (1, m), generator=generator)]
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    loss, alignment = axe_loss_and_alignment(
        ours,
        targets,
        lengths(m),
        lengths(n),
        blank_idx=BLANK,
        skip_target_penalty=delta,
        observed=observed,
        observed_tokens=tokens,
        label_smoothing=smoothing,
    )
    lprobs = theirs.log_softmax(-1)[0]
    shown = torch.zeros_like(lprobs, dtype=torch.bool).scatter_(1, tokens[0].unsqueeze(1), True) & observed[
        0
    ].unsqueeze(1)
    certain = lprobs.masked_fill(shown, 0.0)
    expected, _ = brute_force.axe(certain, targets[0].tolist(), BLANK, delta)
    moves = tuple(op for op in alignment.operators[0].tolist() if op != AxeOperator.NONE)
    own_cost = brute_force.sequence_cost(moves, certain, targets[0].tolist(), BLANK, delta, None)
    assert own_cost.item() == pytest.approx(expected.item(), abs=1e-9)
    paying = _paying_slots(moves, targets[0].tolist(), shown, delta)
    if smoothing:
        own_cost = (1 - smoothing) * own_cost - smoothing * sum(lprobs[slot].mean() for slot in paying)
    assert loss.item() == pytest.approx(own_cost.item(), abs=1e-9)
    if own_cost.requires_grad:
        loss.sum().backward()
        own_cost.backward()
        torch.testing.assert_close(ours.grad, theirs.grad)


def _paying_slots(moves: tuple[int, ...], targets: list[int], shown: torch.Tensor, delta: float) -> set[int]:
    """The slots that pay for a target or a blank which they do not show."""
    i = j = 0
    paying = set()
    for move in moves:
        i += move != AxeOperator.SKIP_PREDICTION
        j += move != AxeOperator.SKIP_TARGET
        slot = max(j, 1) - 1
        token = BLANK if move == AxeOperator.SKIP_PREDICTION else targets[i - 1]
        if not shown[slot, token] and (delta > 0 or move != AxeOperator.SKIP_TARGET):
            paying.add(slot)
    return paying


def test_what_is_shown_needs_to_know_where() -> None:
    logits, targets = problem(2, 3, 1)
    with pytest.raises(ValueError, match="not which slots are observed"):
        axe_loss(logits, targets, lengths(3), lengths(2), blank_idx=BLANK, observed_tokens=torch.zeros(1, 3).long())


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("observe", [False, True])
def test_gradcheck(label_smoothing: float, observe: bool) -> None:
    logits = torch.randn(3, 4, V, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, V, (3, 4))
    observed = torch.rand(3, 4) < 0.5 if observe else None
    assert torch.autograd.gradcheck(
        lambda x: axe_loss(
            x,
            targets,
            lengths(4, 3, 2),
            lengths(4, 3, 2),
            blank_idx=BLANK,
            skip_target_penalty=2.0,
            observed=observed,
            label_smoothing=label_smoothing,
            reduction="none",
        ),
        logits,
    )


@given(
    sizes=st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), min_size=1, max_size=5), seed=st.integers(0, 999)
)
def test_batch_equals_single_whatever_the_padding(sizes: list[tuple[int, int]], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    width, height = max(m for _, m in sizes) + 2, max(n for n, _ in sizes) + 1
    logits = torch.randn(len(sizes), width, V, generator=generator)
    targets = torch.randint(0, V, (len(sizes), height), generator=generator)
    n, m = (lengths(*side) for side in zip(*sizes, strict=True))
    costs, together = axe_loss_and_alignment(
        logits, targets, m, n, blank_idx=BLANK, skip_target_penalty=2.0, label_smoothing=0.1
    )
    for index, (one_n, one_m) in enumerate(sizes):
        cost, alone = axe_loss_and_alignment(
            logits[index : index + 1, :one_m],
            targets[index : index + 1, :one_n],
            lengths(one_m),
            lengths(one_n),
            blank_idx=BLANK,
            skip_target_penalty=2.0,
            label_smoothing=0.1,
        )
        assert costs[index].item() == pytest.approx(cost.item(), rel=1e-5, abs=1e-5)
        assert together.positions[index, :one_n].tolist() == alone.positions[0].tolist()
        assert together.tokens[index, :one_m].tolist() == alone.tokens[0].tolist()
        moves = together.operators[index]
        assert moves[: one_n + one_m].tolist() == alone.operators[0].tolist()
        assert (moves[one_n + one_m :] == AxeOperator.NONE).all()


@given(n=st.integers(0, 6), m=st.integers(1, 6), seed=st.integers(0, 999))
def test_alignment_is_monotonic_and_its_parts_agree(n: int, m: int, seed: int) -> None:
    logits, targets = problem(n, m, seed)
    alignment = axe_alignment(logits, targets, lengths(m), lengths(n), blank_idx=BLANK)
    positions = alignment.positions[0].tolist()
    assert all(a <= b for a, b in pairwise(positions))
    aligned, skipped_slots, skipped_targets = (
        int(alignment.occurrences(operator)) for operator in list(AxeOperator)[1:]
    )
    assert aligned + skipped_targets == n
    assert aligned + skipped_slots == m
    for slot, token in enumerate(alignment.tokens[0].tolist()):
        takers = [target for target, place in enumerate(positions) if place == slot]
        assert token == (targets[0, takers[0]] if takers else BLANK)


def test_a_shifted_prediction_costs_its_two_ends_only() -> None:
    """Figure 2 of the paper: everything one slot late; one skip prediction and one skip target repair it."""
    targets = torch.tensor([[0, 1, 2, 3]])
    logits = torch.full((1, 4, V), 0.0)
    for slot, token in enumerate([BLANK, 0, 1, 2]):
        logits[0, slot, token] = 8.0
    alignment = axe_alignment(logits, targets, lengths(4), lengths(4), blank_idx=BLANK)
    assert alignment.tokens.tolist() == [[BLANK, 0, 1, 2]]
    assert alignment.positions.tolist() == [[1, 2, 3, 3]]
    expected = [AxeOperator.SKIP_PREDICTION, *[AxeOperator.ALIGN] * 3, AxeOperator.SKIP_TARGET, -1, -1, -1]
    assert alignment.operators.tolist() == [expected]
    axe = axe_loss(logits, targets, lengths(4), lengths(4), blank_idx=BLANK)
    assert axe < 0.3 * label_smoothed_cross_entropy(logits, targets)


def test_is_cross_entropy_when_skipping_costs_too_much() -> None:
    logits = torch.randn(4, 6, V)
    logits[:, :, BLANK] = -1e4
    targets = torch.randint(0, BLANK, (4, 6))
    axe = axe_loss(logits, targets, lengths(*[6] * 4), lengths(*[6] * 4), blank_idx=BLANK, skip_target_penalty=1e6)
    torch.testing.assert_close(axe, label_smoothed_cross_entropy(logits, targets))


@pytest.mark.parametrize("backend", BACKENDS)
@given(
    n=st.integers(0, 7),
    m=st.integers(1, 7),
    seed=st.integers(0, 10_000),
    delta=st.sampled_from(DELTAS),
    sharpness=st.sampled_from([0.0, 1.0, 8.0]),
)
def test_causal_axe_aligns_no_slot_with_a_target_inside_its_own_input(
    backend: str, n: int, m: int, seed: int, delta: float, sharpness: float
) -> None:
    """Under teacher forcing slot j (from 0) sees the targets before target j: it may take none of those."""
    logits, targets = problem(n, m, seed, sharpness)
    alignment = axe_alignment(
        logits,
        targets,
        lengths(m),
        lengths(n),
        blank_idx=BLANK,
        skip_target_penalty=delta,
        causal=True,
        bar_skip_target=True,
        backend=backend,
    )
    assert (alignment.positions[0] <= torch.arange(n)).all()


def copying_logits(targets: Tensor, chances: dict[str, float]) -> Tensor:
    """[1, n, V] of a model that sees the target before each slot and says ``input``, ``blank`` or ``target`` with these
    probabilities."""
    n = targets.size(1)
    probabilities = torch.full((1, n, V), 1e-9)
    for slot in range(n):
        if slot:
            probabilities[0, slot, targets[0, slot - 1]] += chances.get("input", 0.0)
        probabilities[0, slot, BLANK] += chances.get("blank", 0.0) + (0 if slot else chances.get("input", 0.0))
        probabilities[0, slot, targets[0, slot]] += chances.get("target", 0.0)
    return probabilities.log()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("chances", [{"input": 1.0}, {"input": 0.5, "blank": 0.5}])
def test_causal_axe_gives_a_copying_model_nothing(backend: str, chances: dict[str, float]) -> None:
    """Neither for saying its input, nor for saying ε and its input a half each, which skipping the prediction and then
    the target would make cheap: 2 bits a target."""
    targets = torch.tensor([[0, 1, 2, 3, 0, 2]])
    arguments = (copying_logits(targets, chances), targets, lengths(6), lengths(6))
    assert causal_axe_loss(*arguments, blank_idx=BLANK, bar_skip_target=True, backend=backend) > 8
    if "blank" in chances:  # 2 bits a target, but for the last one
        assert causal_axe_loss(*arguments, blank_idx=BLANK, backend=backend) < 5
    else:
        assert axe_loss(*arguments, blank_idx=BLANK, backend=backend) < 8  # the last target alone is not to be had
    honest = copying_logits(targets, {"target": 0.9, "input": 0.1})
    loss = causal_axe_loss(honest, *arguments[1:], blank_idx=BLANK, bar_skip_target=True, backend=backend)
    torch.testing.assert_close(loss, -torch.log(torch.tensor(0.9)), rtol=1e-4, atol=1e-4)


def test_duplicating_a_sentence_doubles_the_sum_and_keeps_the_mean() -> None:
    logits, targets = torch.randn(2, 5, V), torch.randint(0, V, (2, 4))
    one = [
        axe_loss(logits, targets, lengths(5, 4), lengths(4, 3), blank_idx=BLANK, reduction=r) for r in ("sum", "mean")
    ]
    two = [
        axe_loss(
            logits.repeat(2, 1, 1),
            targets.repeat(2, 1),
            lengths(5, 4, 5, 4),
            lengths(4, 3, 4, 3),
            blank_idx=BLANK,
            reduction=r,
        )
        for r in ("sum", "mean")
    ]
    torch.testing.assert_close(torch.stack(two), torch.stack(one) * torch.tensor([2.0, 1.0]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_input_is_computed_in_single_precision(dtype: torch.dtype) -> None:
    logits = torch.randn(3, 6, 50).to(dtype)
    targets = torch.randint(0, 50, (3, 6))
    arguments = (targets, lengths(6, 5, 4), lengths(6, 4, 5))
    halves, singles = logits.clone().requires_grad_(), logits.float().requires_grad_()
    half = axe_loss(halves, *arguments, blank_idx=BLANK, label_smoothing=0.1)
    single = axe_loss(singles, *arguments, blank_idx=BLANK, label_smoothing=0.1)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, single)
    half.backward()
    single.backward()
    assert halves.grad is not None
    assert singles.grad is not None
    torch.testing.assert_close(halves.grad, singles.grad.to(dtype))


def test_impossible_tokens_are_routed_around() -> None:
    """log 0 somewhere must neither make NaN nor end up on the path while another path is finite."""
    logits, targets = torch.zeros(1, 3, V), torch.tensor([[0, 1, 2]])
    logits[0, 0, 0] = float("-inf")
    logits.requires_grad_()
    loss, alignment = axe_loss_and_alignment(logits, targets, lengths(3), lengths(3), blank_idx=BLANK)
    assert torch.isfinite(loss).all()
    assert alignment.positions[0, 0] != 0
    loss.sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_no_path_gives_an_infinite_loss_not_a_wrong_one() -> None:
    logits, targets = torch.zeros(1, 1, V), torch.tensor([[0]])
    logits[0, 0, 0] = float("-inf")
    logits[0, 0, BLANK] = float("-inf")
    assert axe_loss(logits, targets, lengths(1), lengths(1), blank_idx=BLANK).item() == float("inf")


def test_refuses_what_makes_no_sense() -> None:
    logits, targets = torch.zeros(1, 3, V), torch.tensor([[0, 1]])
    with pytest.raises(ValueError, match="skip_target_penalty"):
        axe_loss(logits, targets, lengths(3), lengths(2), blank_idx=BLANK, skip_target_penalty=-1)
    with pytest.raises(ValueError, match="m = n"):
        axe_loss(logits, targets, lengths(3), lengths(2), blank_idx=BLANK, observed=torch.ones(1, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="no slots"):
        axe_loss(torch.zeros(1, 0, V), targets, lengths(0), lengths(2), blank_idx=BLANK)
    with pytest.raises(ValueError, match="reduction"):
        axe_loss(logits, targets, lengths(3), lengths(2), blank_idx=BLANK, reduction="median")
