"""The gradient must not depend on how a batch is cut."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from nat_plugin.errors import UserError
from tests import helpers


def gradient(model: Any, criterion: Any, samples: list[dict[str, Any]]) -> torch.Tensor:
    """What the trainer does: Σ gradients / Σ sample sizes."""
    model.zero_grad()
    total = 0.0
    for sample in samples:
        loss, size, _ = criterion(model, sample)
        loss.backward()
        total += float(size)
    return torch.cat([parameter.grad.flatten() / total for parameter in model.parameters()])


@pytest.mark.parametrize("name", ["nat_cross_entropy", "nat_axe"])
@pytest.mark.parametrize("predict", ["masks", "all"])
def test_micro_batches_give_the_gradient_of_the_whole(name: str, predict: str) -> None:
    task = helpers.task()
    model = helpers.model(task).double()
    model.set_num_updates(7)
    model.train()
    data = helpers.dataset(task, helpers.pairs(12, seed=4))
    criterion = helpers.criterion(name, task, label_smoothing=0.1, predict=predict)
    whole = gradient(model, criterion, [helpers.batch(data)])
    parts = gradient(
        model, criterion, [helpers.batch(data, part) for part in ([0, 5], [1], [2, 3, 4, 6, 7, 8], [9, 10, 11])]
    )
    torch.testing.assert_close(whole, parts, **helpers.ROUNDING)


def test_masks_change_with_the_update_but_not_in_validation() -> None:
    task = helpers.task()
    model = helpers.model(task)
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(12, seed=4, shortest=5)))
    criterion = helpers.criterion("nat_cross_entropy", task)

    def loss(update: int) -> float:
        model.set_num_updates(update)
        return float(criterion(model, sample)[0].detach())

    model.train()
    assert loss(1) != loss(2)
    model.eval()
    assert loss(1) == loss(2)


def test_logs_the_shares_of_the_operators() -> None:
    from fairseq.logging import metrics

    task = helpers.task()
    model = helpers.model(task)
    criterion = helpers.criterion("nat_axe", task)
    logs = [criterion(model, helpers.batch(helpers.dataset(task, helpers.pairs(6, seed=s))))[2] for s in (1, 2)]
    with metrics.aggregate() as aggregated:
        type(criterion).reduce_metrics(logs)
    values = aggregated.get_smoothed_values()
    assert values["align"] + values["skip_target"] == pytest.approx(1, abs=1e-3)
    assert values["align"] + values["skip_prediction"] == pytest.approx(1, abs=1e-3)
    assert {"loss", "word_loss", "length_loss", "length_accuracy"} <= set(values)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nat_axe", {"skip_target_penalty": -1.0}, "--skip-target-penalty must be 0 or more"),
        ("nat_axe", {"label_smoothing": 1.0}, "--label-smoothing must be in"),
        ("nat_cross_entropy", {"length_loss_weight": -0.1}, "--length-loss-weight must be 0 or more"),
    ],
)
def test_refuses_values_out_of_range(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        helpers.criterion(name, helpers.task(), **options)


def test_refuses_a_task_without_blank() -> None:
    task = helpers.task()
    del task.blank_idx
    with pytest.raises(UserError, match="--task nat_translation"):
        helpers.criterion("nat_axe", task)
