"""The n-gram loss against a count by hand, and what must hold of it whatever the input."""

from __future__ import annotations

from collections import Counter
from typing import Optional

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nat_plugin.alignments import (
    cross_entropy_and_ngram_costs,
    label_smoothed_cross_entropy,
    ngram_loss,
    ngram_windows,
)
from tests.alignments.problems import lengths

V = 3  # few words: n-grams occur more than once


def by_hand(lprobs: Tensor, targets: list[int], n: int, masked: list[bool], match: str) -> Tensor:
    """K - Σ_g min(C_y(g), C̃(g)) for one sentence, n-gram by n-gram."""
    windows = [start for start in range(len(targets) - n + 1) if all(masked[start : start + n])]
    counts = Counter(tuple(targets[start : start + n]) for start in windows)
    matched = lprobs.new_zeros(())
    for gram, count in counts.items():
        paying = [start for start in windows if match == "bag" or tuple(targets[start : start + n]) == gram]
        expected = torch.stack(
            [torch.stack([lprobs[start + i, token] for i, token in enumerate(gram)]).sum().exp() for start in paying]
        ).sum()
        matched = matched + expected.clamp(max=count)
    return len(windows) - matched


@given(
    size=st.integers(1, 7),
    n=st.integers(1, 4),
    seed=st.integers(0, 10_000),
    hidden=st.one_of(st.none(), st.integers(0, 127)),
    match=st.sampled_from(["bag", "place"]),
)
def test_equals_the_count_by_hand_with_its_gradient(
    size: int, n: int, seed: int, hidden: Optional[int], match: str
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(1, size, V, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, V, (1, size), generator=generator)
    mask = [hidden is None or bool(hidden >> place & 1) for place in range(size)]
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss = ngram_loss(
        ours,
        targets,
        lengths(size),
        n=n,
        masked=None if hidden is None else torch.tensor([mask]),
        match=match,
        reduction="sum",
    )
    expected = by_hand(theirs.log_softmax(-1)[0], targets[0].tolist(), n, mask, match)
    torch.testing.assert_close(loss, expected + 0.0 * theirs.sum())
    assert loss.item() >= -1e-9
    loss.backward()
    if expected.requires_grad:
        expected.backward()
        torch.testing.assert_close(ours.grad, theirs.grad)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(1, 3), st.integers(0, 999))
def test_batch_equals_single_whatever_the_padding(sizes: list[int], n: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    width = max(sizes) + 2
    logits = torch.randn(len(sizes), width, V, generator=generator)
    targets = torch.randint(0, V, (len(sizes), width), generator=generator)
    masked = torch.rand(len(sizes), width, generator=generator) < 0.8
    costs = ngram_loss(logits, targets, lengths(*sizes), n=n, masked=masked, reduction="none")
    for row, size in enumerate(sizes):
        if size == 0:
            assert costs[row].item() == 0
            continue
        one = (logits[row : row + 1, :size], targets[row : row + 1, :size], lengths(size))
        alone = ngram_loss(*one, n=n, masked=masked[row : row + 1, :size], reduction="none")
        assert costs[row].item() == pytest.approx(alone.item(), abs=1e-5)


def test_a_certain_right_prediction_is_zero_and_a_wrong_one_is_the_number_of_windows() -> None:
    targets = torch.tensor([[0, 1, 2, 0, 1]])
    right = torch.nn.functional.one_hot(targets, V).float() * 50
    shifted = torch.nn.functional.one_hot((targets + 1) % V, V).float() * 50
    wrong = torch.nn.functional.one_hot(torch.zeros_like(targets), V).float() * 50
    assert ngram_loss(right, targets, lengths(5), reduction="sum").item() == pytest.approx(0, abs=1e-5)
    assert ngram_loss(wrong, targets, lengths(5), reduction="sum").item() == pytest.approx(4, abs=1e-5)
    # of 12 20 01 12 the reference has all but the second 12
    assert ngram_loss(shifted, targets, lengths(5), reduction="sum").item() == pytest.approx(1, abs=1e-5)


def test_halves_that_changed_places_are_in_the_bag_and_not_in_their_place() -> None:
    targets, said = torch.tensor([[0, 1, 2, 3]]), torch.tensor([[2, 3, 0, 1]])
    logits = torch.nn.functional.one_hot(said, 4).float() * 50
    for match, expected in (("bag", 1), ("place", 3)):
        assert ngram_loss(logits, targets, lengths(4), match=match, reduction="sum").item() == pytest.approx(expected)


def test_repeating_a_word_is_clipped_by_the_references_count() -> None:
    targets = torch.tensor([[0, 1, 2, 1]])
    stuck = torch.nn.functional.one_hot(torch.tensor([[1, 1, 1, 1]]), V).float() * 50
    assert ngram_loss(stuck, targets, lengths(4), n=1, reduction="sum").item() == pytest.approx(2, abs=1e-5)


def test_windows_need_n_masked_neighbours() -> None:
    logits, targets = torch.randn(1, 5, V, requires_grad=True), torch.tensor([[0, 1, 2, 0, 1]])
    alone = torch.tensor([[True, False, True, False, True]])
    loss = ngram_loss(logits, targets, lengths(5), masked=alone)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert logits.grad.abs().sum() == 0


@given(
    sizes=st.lists(st.integers(0, 6), min_size=1, max_size=4),
    n=st.integers(1, 3),
    smoothing=st.sampled_from([0.0, 0.1]),
    overwrite=st.booleans(),
    seed=st.integers(0, 999),
)
def test_with_the_cross_entropy_it_is_both_losses_and_their_gradients(
    sizes: list[int], n: int, smoothing: float, overwrite: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    width, batch = max(sizes) + 1, len(sizes)
    logits = torch.randn(batch, width, V, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, V, (batch, width), generator=generator)
    mask = torch.rand(batch, width, generator=generator) < 0.7
    mask = mask & (torch.arange(width) < torch.tensor(sizes).unsqueeze(1))
    weights = torch.rand(2, batch, generator=generator, dtype=torch.float64)
    apart, together = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    words = label_smoothed_cross_entropy(apart, targets, mask=mask, label_smoothing=smoothing, reduction="none")
    grams = ngram_loss(apart, targets, lengths(*sizes), n=n, masked=mask, reduction="none")
    costs = cross_entropy_and_ngram_costs(
        together * 1.0, targets, n=n, mask=mask, label_smoothing=smoothing, overwrite_logits=overwrite
    )
    torch.testing.assert_close(costs.cross_entropy, words)
    torch.testing.assert_close(costs.ngram, grams)
    assert bool((costs.ngram <= ngram_windows(mask, n).sum(1) + 1e-9).all())
    (weights[0] * words + weights[1] * grams).sum().backward()
    (weights[0] * costs.cross_entropy + weights[1] * costs.ngram).sum().backward()
    torch.testing.assert_close(together.grad, apart.grad)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_single_precision_of_the_same_logits(dtype: torch.dtype) -> None:
    logits, targets = torch.randn(3, 6, V).to(dtype), torch.randint(0, V, (3, 6))
    mask = torch.ones(3, 6, dtype=torch.bool)
    half, single = (
        cross_entropy_and_ngram_costs(one, targets, n=2, mask=mask, label_smoothing=0.1)
        for one in (logits, logits.float())
    )
    for one, other in zip(half, single, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other)


def test_windows_are_n_slots_side_by_side() -> None:
    mask = torch.tensor([[True, True, True, False, True, True]])
    assert ngram_windows(mask, 1).tolist() == mask.tolist()
    assert ngram_windows(mask, 2).tolist() == [[True, True, False, False, True]]
    assert ngram_windows(mask, 3).tolist() == [[True, False, False, False]]
    assert ngram_windows(mask, 7).shape == (1, 0)


@pytest.mark.parametrize("match", ["bag", "place"])
def test_gradcheck(match: str) -> None:
    logits = torch.randn(2, 5, V, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, V, (2, 5))

    def loss(x: Tensor) -> Tensor:
        return ngram_loss(x, targets, lengths(5, 4), match=match, reduction="none")

    assert torch.autograd.gradcheck(loss, logits)


@pytest.mark.parametrize("match", ["bag", "place"])
def test_impossible_words_have_a_finite_gradient(match: str) -> None:
    """In a canvas shorter than n, too."""
    for size in (1, 3):
        logits = torch.zeros(1, size, V)
        logits[0, 0, 0] = float("-inf")
        logits.requires_grad_()
        loss = ngram_loss(logits, torch.zeros(1, size, dtype=torch.int64), lengths(size), match=match, reduction="sum")
        loss.backward()
        assert loss.item() == pytest.approx(0 if size == 1 else 2 - 1 / 9)
        assert logits.grad is not None
        assert bool(logits.grad.isfinite().all())


def test_refuses_what_makes_no_sense() -> None:
    logits, targets = torch.zeros(1, 3, V), torch.tensor([[0, 1, 2]])
    with pytest.raises(ValueError, match="n must be"):
        ngram_loss(logits, targets, lengths(3), n=0)
    with pytest.raises(ValueError, match="match must be one of bag, place, not 'words'"):
        ngram_loss(logits, targets, lengths(3), match="words")
    with pytest.raises(ValueError, match="m = n"):
        ngram_loss(logits[:, :2], targets, lengths(2))
    with pytest.raises(ValueError, match="masked"):
        ngram_loss(logits, targets, lengths(3), masked=torch.ones(1, 2, dtype=torch.bool))
    mask = torch.ones(1, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match="label_smoothing"):
        cross_entropy_and_ngram_costs(logits, targets, n=2, mask=mask, label_smoothing=1.0)
    with pytest.raises(ValueError, match="mask must be"):
        cross_entropy_and_ngram_costs(logits, targets, n=2, mask=mask[:, :2])
