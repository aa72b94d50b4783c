"""What a criterion's flags say reaches the loss of its name: each is held against the function itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from nat_plugin.alignments import axe_alignment, axe_loss, ctc_loss, oaxe_loss
from nat_plugin.padding import length_mask
from tests import helpers
from tests.criterions.test_nat_ctc import CTC, fitting


def predicted(name: str, canvas: dict[str, Any], **options: Any) -> tuple[Any, Any, Any, Any]:
    """Task, criterion, targets, and the output of a model that prefers some words."""
    task = helpers.task()
    model = helpers.varied_model(task, **canvas).eval()
    criterion = helpers.criterion(name, task, **options)
    targets, output = criterion.predict(model, helpers.batch(helpers.dataset(task, fitting(6, seed=2))))
    return task, criterion, targets, output


@pytest.mark.parametrize("options", [{"skip_target_penalty": 0.2}, {"label_smoothing": 0.3}])
def test_axe(options: dict[str, float]) -> None:
    task, criterion, targets, output = predicted("nat_axe", {"masking": "full"}, **{"label_smoothing": 0.0, **options})

    def cost(**chosen: float) -> Tensor:
        lengths = targets.lengths
        return axe_loss(
            output.logits, targets.tokens, lengths, lengths, blank_idx=task.blank_idx, reduction="none", **chosen
        )

    assert not torch.allclose(cost(**options), cost())
    torch.testing.assert_close(criterion.word_loss(output, targets).costs, cost(**options))


@pytest.mark.parametrize("penalty", [0.2, 1.0, 5.0])
def test_the_price_of_skipped_targets_is_that_of_what_glancing_shows_too(penalty: float) -> None:
    task, criterion, targets, output = predicted("nat_axe", {"masking": "full"}, skip_target_penalty=penalty)
    logits, lengths = torch.randn(output.logits.shape, generator=torch.Generator().manual_seed(1)), targets.lengths
    shown, *others = (
        axe_alignment(
            logits, targets.tokens, lengths, lengths, blank_idx=task.blank_idx, skip_target_penalty=each
        ).tokens
        for each in (penalty, 0.2, 5.0)
    )
    assert torch.equal(criterion.proxy_targets(targets, logits, lengths), shown)
    assert not torch.equal(*others)


@pytest.mark.parametrize("options", [{"truncation_margin": 0.04}, {"label_smoothing": 0.3}])
def test_oaxe(options: dict[str, float]) -> None:
    _, criterion, targets, output = predicted("nat_oaxe", {"masking": "full"}, **{"label_smoothing": 0.0, **options})

    def cost(label_smoothing: float = 0.0, truncation_margin: float | None = None) -> Tensor:
        return oaxe_loss(
            output.logits,
            targets.tokens,
            targets.lengths,
            label_smoothing=label_smoothing,
            min_probability=truncation_margin,
            reduction="none",
        )

    assert not torch.allclose(cost(**options), cost())
    torch.testing.assert_close(criterion.word_loss(output, targets).costs, cost(**options))


@pytest.mark.parametrize("predict", ["all", "masks"])
def test_which_slots_oaxe_counts(predict: str) -> None:
    _, criterion, targets, output = predicted("nat_oaxe", {"masking": "uniform"}, predict=predict, label_smoothing=0.0)
    shown = length_mask(targets.lengths, output.masked.size(1)) & ~output.masked
    assert bool(shown.any())
    observed = shown if predict == "masks" else None
    expected = oaxe_loss(output.logits, targets.tokens, targets.lengths, observed=observed, reduction="none")
    words = criterion.word_loss(output, targets)
    torch.testing.assert_close(words.costs, expected)
    assert torch.equal(words.units, output.masked.sum(1) if predict == "masks" else targets.lengths)


def test_ctc() -> None:
    task, criterion, targets, output = predicted("nat_ctc", CTC, label_smoothing=0.3)
    smoothed, plain = (
        ctc_loss(
            output.logits,
            targets.tokens,
            output.lengths,
            targets.lengths,
            blank_idx=task.blank_idx,
            label_smoothing=each,
            reduction="none",
        )
        for each in (0.3, 0.0)
    )
    assert not torch.allclose(smoothed, plain)
    torch.testing.assert_close(criterion.word_loss(output, targets).costs, smoothed)
