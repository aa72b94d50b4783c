"""CTC against torch, against enumeration of all paths, and what must hold of it whatever the input."""

from __future__ import annotations

from itertools import groupby, product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import ctc_loss as torch_ctc_loss

from nat_plugin.alignments import (
    ctc_best_alignment,
    ctc_fits,
    ctc_loss,
    ctc_statistics,
    label_smoothed_cross_entropy,
)
from tests.alignments.problems import BACKENDS, lengths

V, BLANK = 4, 2


def problem(n: int, m: int, seed: int) -> tuple[Tensor, Tensor]:
    """Targets never hold the blank: torch's CTC does not allow it."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(1, m, V, generator=generator, dtype=torch.float64)
    words = torch.tensor([0, 1, 3])
    return logits, words[torch.randint(0, 3, (1, n), generator=generator)]


def collapse(path: tuple[int, ...]) -> list[int]:
    return [token for token, _ in groupby(path) if token != BLANK]


def paths(targets: list[int], m: int) -> list[tuple[int, ...]]:
    return [path for path in product(range(V), repeat=m) if collapse(path) == targets]


def path_lprob(path: tuple[int, ...], lprobs: Tensor) -> Tensor:
    return torch.stack([lprobs[slot, token] for slot, token in enumerate(path)]).sum()


@pytest.mark.parametrize("backend", BACKENDS)
@given(n=st.integers(0, 3), m=st.integers(1, 5), seed=st.integers(0, 10_000))
def test_equals_the_sum_over_all_paths_with_its_gradient(backend: str, n: int, m: int, seed: int) -> None:
    logits, targets = problem(n, m, seed)
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss = ctc_loss(ours, targets, lengths(m), lengths(n), blank_idx=BLANK, reduction="none", backend=backend)
    all_paths = paths(targets[0].tolist(), m)
    assert bool(ctc_fits(targets, lengths(m), lengths(n))) == bool(all_paths)
    if not all_paths:
        assert loss.item() == float("inf")
        return
    lprobs = theirs.log_softmax(-1)[0]
    expected = -torch.stack([path_lprob(path, lprobs) for path in all_paths]).logsumexp(0)
    torch.testing.assert_close(loss[0], expected)
    loss.sum().backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("backend", BACKENDS)
@given(n=st.integers(0, 3), m=st.integers(1, 5), seed=st.integers(0, 10_000))
def test_best_alignment_is_the_best_of_all_paths(backend: str, n: int, m: int, seed: int) -> None:
    logits, targets = problem(n, m, seed)
    found = ctc_best_alignment(logits, targets, lengths(m), lengths(n), blank_idx=BLANK, backend=backend)
    all_paths = paths(targets[0].tolist(), m)
    if not all_paths:
        assert found.tolist() == [[BLANK] * m]
        return
    lprobs = logits.log_softmax(-1)[0]
    best = max(path_lprob(path, lprobs).item() for path in all_paths)
    assert collapse(tuple(found[0].tolist())) == targets[0].tolist()
    assert path_lprob(tuple(found[0].tolist()), lprobs).item() == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
@given(
    sizes=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 30)), min_size=1, max_size=5),
    words=st.integers(1, 40),
    seed=st.integers(0, 999),
)
def test_equals_torch_on_batches_with_padding(
    backend: str, sizes: list[tuple[int, int]], words: int, seed: int
) -> None:
    """Few words make many repeats."""
    generator = torch.Generator().manual_seed(seed)
    n, m = (lengths(*side) for side in zip(*sizes, strict=True))
    logits = torch.randn(len(sizes), int(m.max()) + 2, words + 1, generator=generator, dtype=torch.float64)
    targets = torch.randint(1, words + 1, (len(sizes), int(n.max()) + 1), generator=generator)
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    costs = ctc_loss(ours, targets, m, n, blank_idx=0, reduction="none", backend=backend)
    lprobs = theirs.log_softmax(-1).transpose(0, 1)
    # without zero_infinity torch's gradient of a sentence that cannot fit is NaN
    expected = torch_ctc_loss(lprobs, targets, m, n, blank=0, reduction="none", zero_infinity=True)
    fits = ctc_fits(targets, m, n)
    assert torch.equal(fits, costs.isfinite())
    torch.testing.assert_close(costs.masked_fill(~fits, 0.0), expected)
    costs.masked_fill(~fits, 0.0).sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    single = [
        ctc_best_alignment(
            logits[index : index + 1, :slots],
            targets[index : index + 1, :tokens],
            lengths(slots),
            lengths(tokens),
            blank_idx=0,
            backend=backend,
        )
        for index, (tokens, slots) in enumerate(sizes)
    ]
    together = ctc_best_alignment(logits, targets, m, n, blank_idx=0, backend=backend)
    for index, (_, slots) in enumerate(sizes):
        assert together[index, :slots].tolist() == single[index][0].tolist()
        assert (together[index, slots:] == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_gradcheck(backend: str, label_smoothing: float) -> None:
    logits = torch.randn(3, 6, V, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([[0, 0, 1], [1, 3, 3], [3, 1, 0]])
    assert torch.autograd.gradcheck(
        lambda x: ctc_loss(
            x,
            targets,
            lengths(6, 5, 4),
            lengths(3, 3, 2),
            blank_idx=BLANK,
            label_smoothing=label_smoothing,
            reduction="none",
            backend=backend,
        ),
        logits,
    )


def test_label_smoothing_counts_the_sentences_own_slots_only() -> None:
    logits, targets = torch.randn(2, 6, V), torch.tensor([[0, 1], [3, 0]])
    arguments = (targets, lengths(6, 4), lengths(2, 1))
    plain = ctc_loss(logits, *arguments, blank_idx=BLANK, reduction="none")
    smooth = ctc_loss(logits, *arguments, blank_idx=BLANK, label_smoothing=0.2, reduction="none")
    uniform = -logits.log_softmax(-1).mean(-1)
    expected = 0.8 * plain + 0.2 * torch.stack([uniform[0].sum(), uniform[1, :4].sum()])
    torch.testing.assert_close(smooth, expected)


def test_is_cross_entropy_where_there_is_one_slot_a_target() -> None:
    """Without equal neighbours only the trivial path has n slots (Haviv et al. 2021, §5); with them none does."""
    logits, targets = torch.randn(4, 5, 9), torch.tensor([[1, 2, 3, 4, 5], [5, 6, 5, 6, 5], [8, 1, 2, 1, 8], [2] * 5])
    n = lengths(5, 5, 5, 5)
    costs = ctc_loss(logits, targets, n, n, blank_idx=0, reduction="none")
    expected = label_smoothed_cross_entropy(logits, targets, reduction="none")
    torch.testing.assert_close(costs[:3], expected[:3])
    assert costs[3].item() == float("inf")


def test_a_sentence_that_cannot_fit_is_infinite_and_leaves_the_others_alone() -> None:
    logits = torch.randn(2, 3, V, requires_grad=True)
    targets = torch.tensor([[0, 0, 1], [0, 1, 3]])
    costs = ctc_loss(logits, targets, lengths(3, 3), lengths(3, 3), blank_idx=BLANK, reduction="none")
    assert costs.isfinite().tolist() == [False, True]
    costs[1].backward()
    assert logits.grad is not None
    assert logits.grad[0].abs().sum() == 0
    assert logits.grad.isfinite().all()
    assert ctc_loss(logits, targets, lengths(3, 3), lengths(3, 3), blank_idx=BLANK).item() == float("inf")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("slots", range(1, 12))
def test_repeats_that_cannot_fit_have_blanks_for_an_alignment(backend: str, slots: int) -> None:
    """Five equal targets need nine slots."""
    logits, targets = torch.randn(2, 12, V), torch.tensor([[0] * 5, [0, 1, 0, 1, 0]])
    found = ctc_best_alignment(logits, targets, lengths(slots, 12), lengths(5, 5), blank_idx=BLANK, backend=backend)
    assert collapse(tuple(found[0].tolist())) == ([0] * 5 if slots >= 9 else [])
    assert collapse(tuple(found[1].tolist())) == [0, 1, 0, 1, 0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_impossible_symbols_are_routed_around(backend: str) -> None:
    logits = torch.randn(1, 5, V)
    logits[0, 0, 0] = float("-inf")
    logits[0, 2, BLANK] = float("-inf")
    ours, theirs = logits.clone().requires_grad_(), logits.double().requires_grad_()
    loss = ctc_loss(ours, torch.tensor([[0, 1]]), lengths(5), lengths(2), blank_idx=BLANK, backend=backend)
    lprobs = theirs.log_softmax(-1)[0]
    possible = [lprob for path in paths([0, 1], 5) if (lprob := path_lprob(path, lprobs)).isfinite()]
    expected = -torch.stack(possible).logsumexp(0) / 2
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad.double(), theirs.grad.nan_to_num(), atol=1e-6, rtol=1e-4)  # type: ignore[union-attr]


@pytest.mark.parametrize("backend", BACKENDS)
def test_long_sentences_do_not_underflow(backend: str) -> None:
    logits = 3 * torch.randn(2, 600, 50)
    targets = torch.randint(1, 50, (2, 180))
    arguments = (targets, lengths(600, 500), lengths(180, 150))
    costs = ctc_loss(logits, *arguments, blank_idx=0, reduction="none", backend=backend)
    exact = ctc_loss(logits.double(), *arguments, blank_idx=0, reduction="none", backend="torch")
    torch.testing.assert_close(costs.double(), exact, rtol=1e-5, atol=0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_input_is_computed_in_single_precision(backend: str, dtype: torch.dtype) -> None:
    logits = torch.randn(3, 12, 50).to(dtype)
    arguments = (torch.randint(1, 50, (3, 4)), lengths(12, 10, 9), lengths(4, 4, 3))
    halves, singles = logits.clone().requires_grad_(), logits.float().requires_grad_()
    half = ctc_loss(halves, *arguments, blank_idx=0, label_smoothing=0.01, backend=backend)
    single = ctc_loss(singles, *arguments, blank_idx=0, label_smoothing=0.01, backend=backend)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, single)
    half.backward()
    single.backward()
    torch.testing.assert_close(halves.grad, singles.grad.to(dtype))  # type: ignore[union-attr]


def test_statistics_count_every_slot_once() -> None:
    tokens = torch.tensor([[BLANK, 0, 0, 1, BLANK, 1], [3, 3, BLANK, BLANK, BLANK, BLANK]])
    targets, repeats, blanks = ctc_statistics(tokens, lengths(6, 3), blank_idx=BLANK)
    assert targets.tolist() == [3, 1]
    assert repeats.tolist() == [1, 1]
    assert blanks.tolist() == [2, 1]


def test_refuses_what_makes_no_sense() -> None:
    logits, targets = torch.zeros(1, 3, V), torch.tensor([[0, 1]])
    with pytest.raises(ValueError, match="label_smoothing"):
        ctc_loss(logits, targets, lengths(3), lengths(2), blank_idx=BLANK, label_smoothing=1.0)
    with pytest.raises(ValueError, match="do not fit"):
        ctc_loss(logits[0], targets, lengths(3), lengths(2), blank_idx=BLANK)
    with pytest.raises(ValueError, match="reduction"):
        ctc_loss(logits, targets, lengths(3), lengths(2), blank_idx=BLANK, reduction="median")
