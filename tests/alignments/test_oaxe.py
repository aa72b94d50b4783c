"""OaXE against all permutations, and what must hold of it whatever the input."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nat_plugin.alignments import label_smoothed_cross_entropy, oaxe_alignment, oaxe_loss, oaxe_loss_and_alignment
from tests.alignments.problems import BACKENDS, lengths

V = 6


@pytest.mark.parametrize("backend", BACKENDS)
@given(n=st.integers(1, 5), seed=st.integers(0, 10_000), hidden=st.integers(0, 31), smoothing=st.sampled_from([0, 0.1]))
def test_equals_the_best_permutation_with_its_gradient(
    backend: str, n: int, seed: int, hidden: int, smoothing: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(1, n, V, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, V, (1, n), generator=generator)
    observed = torch.tensor([[bool(hidden >> place & 1) for place in range(n)]])
    free = [place for place in range(n) if not observed[0, place]]
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    costs, alignment = oaxe_loss_and_alignment(
        ours, targets, lengths(n), observed=observed, label_smoothing=smoothing, backend=backend
    )
    lprobs = theirs.log_softmax(-1)[0]

    def cost(slots: tuple[int, ...]) -> float:
        return -sum(lprobs[slot, targets[0, target]].item() for target, slot in zip(free, slots, strict=True))

    best = min(cost(slots) for slots in permutations(free))
    positions = alignment.positions[0].tolist()
    assert sorted(positions) == list(range(n))
    assert all(positions[place] == place for place in range(n) if place not in free)
    assert cost(tuple(positions[target] for target in free)) == pytest.approx(best, abs=1e-9)
    uniform = -lprobs[free].mean(-1).sum()
    paid = -torch.stack([lprobs[positions[target], targets[0, target]] for target in free]).sum() if free else uniform
    expected = (1 - smoothing) * paid + smoothing * uniform
    torch.testing.assert_close(costs[0], expected)
    costs.sum().backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(0, 999))
def test_batch_equals_single_whatever_the_padding(sizes: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    width = max(sizes) + 2
    logits = torch.randn(len(sizes), width, V, generator=generator)
    targets = torch.randint(0, V, (len(sizes), width), generator=generator)
    observed = torch.rand(len(sizes), width, generator=generator) < 0.3
    arguments = {"label_smoothing": 0.1, "min_probability": 0.1}
    costs, together = oaxe_loss_and_alignment(logits, targets, lengths(*sizes), observed=observed, **arguments)
    for row, n in enumerate(sizes):
        if n == 0:
            assert costs[row].item() == 0
            continue
        one = (logits[row : row + 1, :n], targets[row : row + 1, :n], lengths(n))
        cost, alone = oaxe_loss_and_alignment(*one, observed=observed[row : row + 1, :n], **arguments)
        assert costs[row].item() == pytest.approx(cost.item(), rel=1e-5, abs=1e-5)
        assert together.tokens[row, :n].tolist() == alone.tokens[0].tolist()
        assert together.kept[row, :n].tolist() == alone.kept[0].tolist()
        assert not together.kept[row, n:].any()


def test_the_order_of_the_targets_does_not_matter() -> None:
    logits, targets = torch.randn(3, 6, 20), torch.randint(0, 20, (3, 6))
    shuffled = targets[:, torch.randperm(6)]
    n = lengths(6, 6, 6)
    torch.testing.assert_close(
        oaxe_loss(logits, targets, n, reduction="none"), oaxe_loss(logits, shuffled, n, reduction="none")
    )
    assert (oaxe_loss(logits, targets, n) <= label_smoothed_cross_entropy(logits, targets)).all()


def test_a_reordered_prediction_costs_nothing_and_its_proxy_target_is_its_own_order() -> None:
    targets = torch.tensor([[0, 1, 2, 3]])
    logits = torch.zeros(1, 4, V)
    for slot, token in enumerate([2, 3, 0, 1]):
        logits[0, slot, token] = 30.0
    costs, alignment = oaxe_loss_and_alignment(logits, targets, lengths(4))
    assert costs.item() == pytest.approx(0, abs=1e-6)
    assert alignment.tokens.tolist() == [[2, 3, 0, 1]]
    assert alignment.moved().tolist() == [4]


def test_truncation_drops_what_is_less_probable_than_the_margin_in_natural_logarithms() -> None:
    probabilities = torch.tensor([[0.29, 0.71, 1e-9], [0.31, 1e-9, 0.69]])
    logits = probabilities.log().unsqueeze(0).requires_grad_()
    targets = torch.tensor([[0, 0]])
    costs, alignment = oaxe_loss_and_alignment(logits, targets, lengths(2), min_probability=0.3)
    assert sorted(alignment.kept[0].tolist()) == [False, True]
    assert costs.item() == pytest.approx(-math.log(0.31), rel=1e-5)
    costs.sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, 0].abs().sum() == 0


def test_no_possible_order_gives_an_infinite_loss_not_a_wrong_one() -> None:
    logits = torch.zeros(1, 2, V)
    logits[0, :, 1] = float("-inf")
    assert oaxe_loss(logits, torch.tensor([[0, 1]]), lengths(2)).item() == float("inf")
    logits = torch.zeros(1, 2, V)
    logits[0, 0, 1] = float("-inf")
    assert oaxe_alignment(logits, torch.tensor([[0, 1]]), lengths(2)).tokens.tolist() == [[0, 1]]


def test_gradcheck() -> None:
    logits = torch.randn(2, 4, V, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, V, (2, 4))
    assert torch.autograd.gradcheck(
        lambda x: oaxe_loss(x, targets, lengths(4, 3), label_smoothing=0.1, reduction="none"), logits
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_input_is_computed_in_single_precision(dtype: torch.dtype) -> None:
    logits, targets = torch.randn(3, 6, 50).to(dtype), torch.randint(0, 50, (3, 6))
    half = oaxe_loss(logits, targets, lengths(6, 5, 4), label_smoothing=0.1)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, oaxe_loss(logits.float(), targets, lengths(6, 5, 4), label_smoothing=0.1))


def test_refuses_what_makes_no_sense() -> None:
    logits, targets = torch.zeros(1, 3, V), torch.tensor([[0, 1]])
    with pytest.raises(ValueError, match="m = n"):
        oaxe_loss(logits, targets, lengths(2))
    with pytest.raises(ValueError, match="min_probability"):
        oaxe_loss(logits[:, :2], targets, lengths(2), min_probability=0.0)
    with pytest.raises(ValueError, match="observed"):
        oaxe_loss(logits[:, :2], targets, lengths(2), observed=torch.ones(1, 3, dtype=torch.bool))
