"""The input predictor: what it may see, what it costs, what it learns, and that it changes nothing where it is off."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fairseq.logging import metrics

from nat_plugin.errors import UserError
from tests import helpers
from tests.criterions.test_normalisation import gradient

HEAD = "input_predictor.projection"


def build(**options: Any) -> tuple[Any, Any]:
    """A task, and a model in training that predicts its masks."""
    task = helpers.task()
    return task, helpers.model(task, **{"input_predictor": True, "init": "xavier", **options}).train()


def logged(criterion: Any, log: dict[str, Any]) -> dict[str, float]:
    with metrics.aggregate() as aggregated:
        type(criterion).reduce_metrics([log])
    return dict(aggregated.get_smoothed_values())


def forward(model: Any, criterion: Any, sample: dict[str, Any]) -> Any:
    return criterion.predict(model, sample)[1]


@pytest.mark.parametrize("masking", ["uniform", "fixed_ratio", "glancing"])
def test_sees_the_source_and_the_length_alone(masking: str) -> None:
    task, model = build(masking=masking)
    criterion = helpers.criterion("nat_cross_entropy", task)
    sentences = helpers.pairs(6, seed=1, shortest=4)
    others = [(source, [(word + 1) % helpers.WORDS for word in target]) for source, target in sentences]
    outputs = [forward(model, criterion, helpers.batch(helpers.dataset(task, data))) for data in (sentences, others)]
    torch.testing.assert_close(outputs[0].input_logits, outputs[1].input_logits)
    model.set_num_updates(9)
    later = forward(model, criterion, helpers.batch(helpers.dataset(task, sentences)))
    assert not torch.equal(later.masked, outputs[0].masked)
    torch.testing.assert_close(later.input_logits, outputs[0].input_logits)
    real = torch.arange(later.masked.size(1)) < later.lengths.unsqueeze(1)
    assert float(later.input_logits[real].detach().std()) > 1e-4


def test_padding_changes_nothing() -> None:
    task, model = build()
    criterion = helpers.criterion("nat_cross_entropy", task)
    data = helpers.dataset(task, helpers.pairs(5, seed=3))
    together = forward(model, criterion, helpers.batch(data)).input_logits
    order = helpers.batch(data)["id"].tolist()
    for row, place in enumerate(order):
        alone = forward(model, criterion, helpers.batch(data, [place])).input_logits
        torch.testing.assert_close(together[row, : alone.size(1)], alone[0], rtol=1e-4, atol=1e-5)


def test_costs_the_binary_cross_entropy_of_the_masks_summed_over_slots() -> None:
    task, model = build()
    criterion = helpers.criterion("nat_cross_entropy", task, input_loss_factor=0.5)
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(6, seed=1)))
    loss, _, log = criterion(model, sample)
    output = forward(model, criterion, sample)
    expected, hits = 0.0, 0
    for row, length in enumerate(output.lengths.tolist()):
        for slot in range(length):
            probability = output.input_logits[row, slot].sigmoid().item()
            hidden = bool(output.masked[row, slot])
            expected -= torch.tensor(probability if hidden else 1 - probability).log().item()
            hits += (probability > 0.5) == hidden
    assert float(log["input_loss"]) == pytest.approx(expected, rel=1e-4)
    assert (int(log["input_slots"]), int(log["input_hits"])) == (int(output.lengths.sum()), hits)
    without = helpers.criterion("nat_cross_entropy", task, input_loss_factor=0.0)(model, sample)[0]
    assert float((loss - without).detach()) == pytest.approx(0.5 * expected, rel=1e-3)
    values = logged(criterion, log)
    assert values["input_loss"] == pytest.approx(expected / float(log["input_slots"]) / 0.6931, abs=2e-3)
    assert values["input_accuracy"] == pytest.approx(hits / float(log["input_slots"]), abs=1e-3)


@pytest.mark.parametrize("masking", ["uniform", "glancing"])
def test_micro_batches_give_the_gradient_of_the_whole(masking: str) -> None:
    task, model = build(masking=masking)
    model.double().set_num_updates(7)
    data = helpers.dataset(task, helpers.pairs(12, seed=4))
    criterion = helpers.criterion("nat_axe", task)
    parts = [helpers.batch(data, part) for part in ([0, 5], [1], [2, 3, 4, 6, 7, 8], [9, 10, 11])]
    whole = gradient(model, criterion, [helpers.batch(data)])
    torch.testing.assert_close(whole, gradient(model, criterion, parts), **helpers.ROUNDING)


def test_its_gradient_reaches_head_decoder_and_encoder() -> None:
    task, model = build()
    criterion = helpers.criterion("nat_cross_entropy", task)
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(6, seed=1)))
    forward(model, criterion, sample).input_logits.sum().backward()
    for name in (f"{HEAD}.weight", "decoder.layers.0.fc1.weight", "encoder.layers.0.fc1.weight"):
        assert bool(dict(model.named_parameters())[name].grad.abs().sum() > 0), name


def test_learns_the_masks_of_a_few_pairs() -> None:
    torch.manual_seed(1)
    task, model = build()
    criterion = helpers.criterion("nat_cross_entropy", task)
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(4, seed=5, shortest=4)))  # of one update throughout
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(120):
        optimizer.zero_grad()
        loss, size, log = criterion(model, sample)
        (loss / size).backward()
        optimizer.step()
    assert int(log["input_hits"]) == int(log["input_slots"])
    assert float(log["input_loss"] / log["input_slots"]) < 0.1


def test_validation_compares_with_masks_where_it_has_any() -> None:
    sentences = helpers.pairs(4, seed=2)
    for masking, there in (("uniform", True), ("glancing", False)):
        task, model = build(masking=masking)
        criterion = helpers.criterion("nat_cross_entropy", task)
        _, _, log = criterion(model.eval(), helpers.batch(helpers.dataset(task, sentences)))
        assert ("input_loss" in log) == there
        assert ("input_loss" in logged(criterion, log)) == there


def test_without_it_the_model_and_its_loss_are_what_they_were() -> None:
    task, model = build()
    plain = helpers.model(task, init="xavier").train()
    weights = model.state_dict()
    assert set(weights) - set(plain.state_dict()) == {f"{HEAD}.weight", f"{HEAD}.bias"}
    plain.load_state_dict({name: value for name, value in weights.items() if not name.startswith(HEAD)})
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(6, seed=1)))
    with_head = helpers.criterion("nat_cross_entropy", task, input_loss_factor=0.0)(model, sample)
    without = helpers.criterion("nat_cross_entropy", task)(plain, sample)
    torch.testing.assert_close(with_head[0], without[0])
    assert "input_loss" not in without[2]
    with pytest.raises(ValueError, match="no input predictor"):
        plain.input_logits(torch.tensor([2]), 2, {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masking": "full"}, "--input-predictor has nothing to predict with --masking full"),
        ({"masking": "glancing", "upsample_scale": 3.0}, "does not go with --upsample-scale"),
        ({"latent_dim": 4}, "does not go with --latent-dim"),
        ({"decoder_mask_fill": "bert"}, "not for --decoder-mask-fill bert"),
        ({"decoder_mask_span": 2}, "not for --decoder-mask-span 2"),
    ],
)
def test_refuses_what_it_does_not_go_with(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**options)


def test_refuses_a_weight_below_nothing() -> None:
    with pytest.raises(UserError, match="--input-loss-factor must be 0 or more"):
        helpers.criterion("nat_cross_entropy", helpers.task(), input_loss_factor=-1.0)
