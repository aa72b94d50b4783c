"""What every loss refuses, alike on each backend: lengths, types and NaN."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nat_plugin.alignments import (
    axe_alignment,
    axe_loss,
    causal_axe_loss,
    ctc_best_alignment,
    ctc_loss,
    label_smoothed_cross_entropy,
    ngram_loss,
    oaxe_loss,
    slot_log_probs,
)
from tests.alignments.problems import BACKENDS, lengths

B, M, N, V = 2, 4, 3, 7
LOGITS = torch.randn(B, M, V, generator=torch.Generator().manual_seed(1))
TARGETS = torch.tensor([[1, 2, 3], [4, 5, 6]])
SQUARE = LOGITS[:, :N]
Loss = Callable[..., Tensor]
OF_TWO_LENGTHS: list[Loss] = [
    lambda *a, **k: axe_loss(*a, blank_idx=0, **k),
    lambda *a, **k: causal_axe_loss(*a, blank_idx=0, **k),
    lambda *a, **k: ctc_loss(*a, blank_idx=0, **k),
    lambda *a, **k: ctc_best_alignment(*a, blank_idx=0, **k),
    lambda *a, **k: axe_alignment(*a, blank_idx=0, **k).positions,
]
OF_TARGET_LENGTHS: list[Loss] = [oaxe_loss, ngram_loss]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("loss", OF_TWO_LENGTHS)
@pytest.mark.parametrize(
    ("slots", "targets", "message"),
    [
        (lengths(4, 0), lengths(3, 2), r"logit_lengths must be in 1\.\.4, but that of sentence 1 is 0"),
        (lengths(9, 4), lengths(3, 2), r"logit_lengths must be in 1\.\.4, but that of sentence 0 is 9"),
        (lengths(4, 4), lengths(3, 9), r"target_lengths must be in 0\.\.3, but that of sentence 1 is 9"),
        (lengths(4, 4), lengths(-1, 2), r"target_lengths must be in 0\.\.3, but that of sentence 0 is -1"),
        (lengths(4, 4), lengths(2), r"target_lengths must be \[B\] = \(2,\), not \(1,\)"),
        (lengths(4), lengths(2, 2), r"logit_lengths must be \[B\] = \(2,\), not \(1,\)"),
        (lengths(4, 4).float(), lengths(2, 2), r"logit_lengths must be whole numbers"),
    ],
)
def test_lengths(loss: Loss, slots: Tensor, targets: Tensor, message: str, backend: str) -> None:
    with pytest.raises(ValueError, match=message):
        loss(LOGITS, TARGETS, slots, targets, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("loss", OF_TARGET_LENGTHS)
@pytest.mark.parametrize("wrong", [lengths(9, 2), lengths(3, -1), lengths(3), lengths(3, 2).bool()])
def test_target_lengths(loss: Loss, wrong: Tensor, backend: str) -> None:
    with pytest.raises(ValueError, match="target_lengths must be"):
        loss(SQUARE, TARGETS, wrong, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_lengths_of_the_window(backend: str) -> None:
    with pytest.raises(ValueError, match=r"lengths must be in 0\.\.4, but that of sentence 1 is 5"):
        slot_log_probs(LOGITS, TARGETS, lengths(0, 5), backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_types(backend: str) -> None:
    whole = (lengths(4, 4), lengths(3, 2))
    for loss in OF_TWO_LENGTHS:
        with pytest.raises(ValueError, match=r"logits must be floating, not torch\.int64"):
            loss(LOGITS.long(), TARGETS, *whole, backend=backend)
        with pytest.raises(ValueError, match=r"targets must be whole numbers, such as int64, not torch\.float32"):
            loss(LOGITS, TARGETS.float(), *whole, backend=backend)
        loss(LOGITS, TARGETS.int(), *(each.int() for each in whole), backend=backend)
    ones = torch.ones(B, N, dtype=torch.int64)
    square = {"backend": backend, "blank_idx": 0}
    with pytest.raises(ValueError, match=r"observed must be torch\.bool, not torch\.int64"):
        axe_loss(SQUARE, TARGETS, lengths(3, 3), lengths(3, 3), observed=ones, **square)
    with pytest.raises(ValueError, match="observed_tokens must be whole numbers"):
        axe_loss(
            SQUARE, TARGETS, lengths(3, 3), lengths(3, 3), observed=ones.bool(), observed_tokens=ones.bool(), **square
        )
    with pytest.raises(ValueError, match=r"observed must be torch\.bool"):
        oaxe_loss(SQUARE, TARGETS, lengths(3, 2), observed=ones, backend=backend)
    with pytest.raises(ValueError, match=r"masked must be torch\.bool"):
        ngram_loss(SQUARE, TARGETS, lengths(3, 2), masked=ones, backend=backend)
    with pytest.raises(ValueError, match=r"mask must be torch\.bool"):
        label_smoothed_cross_entropy(SQUARE, TARGETS, mask=ones, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_the_best_path_is_not_looked_for_where_a_logit_is_none(value: float, backend: str) -> None:
    logits = LOGITS.clone()
    logits[1, 1] = value
    with pytest.raises(FloatingPointError, match="sentence 1 of the batch hold NaN or infinity at slot 1"):
        ctc_best_alignment(logits, TARGETS, lengths(4, 4), lengths(3, 2), blank_idx=0, backend=backend)
    ctc_best_alignment(logits, TARGETS, lengths(4, 1), lengths(3, 1), blank_idx=0, backend=backend)  # beyond the length
    logits[1, 1] = -torch.inf
    ctc_best_alignment(logits, TARGETS, lengths(4, 4), lengths(3, 2), blank_idx=0, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_empty_batch(backend: str) -> None:
    for loss in OF_TWO_LENGTHS:
        assert loss(LOGITS[:0], TARGETS[:0], lengths(4)[:0], lengths(3)[:0], backend=backend).numel() in (0, 1)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("match", ["bag", "place"])
def test_ngrams_that_are_certain_cost_nothing_and_not_less(match: str, backend: str) -> None:
    """In float32 a log-probability may be above 0 by the normaliser's rounding."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(50, (300, 6), generator=generator)
    logits = torch.randn(300, 6, 50, generator=generator) - 60
    logits.scatter_(2, targets.unsqueeze(2), 80 * torch.rand(300, 6, 1, generator=generator))
    costs = ngram_loss(logits, targets, torch.full((300,), 6), match=match, reduction="none", backend=backend)
    assert float(costs.min()) >= 0
