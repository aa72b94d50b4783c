"""CTC: learns and decodes without a length, keeps micro-batches exact, and says what does not fit."""

from __future__ import annotations

import copy
import logging
import math
from typing import Any

import pytest
import torch

from nat_plugin.criterions import ctc_terms
from nat_plugin.criterions.nat_ctc import NatCtcCriterion
from nat_plugin.errors import UserError
from tests import helpers
from tests.criterions.test_normalisation import gradient

CTC = {"masking": "full", "upsample_scale": 3.0}


def fitting(count: int, seed: int, longest: int = 8) -> list[tuple[list[int], list[int]]]:
    """Pairs that three slots a source token always hold."""
    return [(source + target, target) for source, target in helpers.pairs(count, seed=seed, longest=longest)]


@pytest.mark.parametrize("left_pad_source", [False, True])
@pytest.mark.parametrize("scale", [2.5, 3.0])
def test_overfits_and_translates_alike_in_any_batch(scale: float, left_pad_source: bool) -> None:
    task = helpers.task(left_pad_source=left_pad_source)
    model = helpers.model(task, encoder_embed_dim=32, decoder_embed_dim=32, masking="full", upsample_scale=scale)
    data = helpers.dataset(task, fitting(4, seed=3, longest=4), left_pad_source)
    sample = helpers.batch(data)
    criterion = helpers.criterion("nat_ctc", task)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(300):
        loss, size, _ = criterion(model, sample)
        optimizer.zero_grad()
        (loss / size).backward()
        optimizer.step()
    restored = helpers.model(task, encoder_embed_dim=32, decoder_embed_dim=32, masking="full", upsample_scale=scale)
    restored.load_state_dict(copy.deepcopy(model.state_dict()))
    generator = task.build_generator([restored], helpers.namespace())
    together = generator.generate([restored], sample)
    for row, sentence in enumerate(sample["id"].tolist()):
        alone = generator.generate([restored], helpers.batch(data, [sentence]))[0][0]
        assert together[row][0]["tokens"].tolist() == data.tgt[sentence][:-1].tolist()
        assert together[row][0]["tokens"].tolist() == alone["tokens"].tolist()
        assert together[row][0]["score"] == pytest.approx(alone["score"], abs=1e-4)


def test_micro_batches_give_the_gradient_of_the_whole() -> None:
    """Sentences that do not fit are among them."""
    task = helpers.task()
    model = helpers.model(task, **CTC).double()
    data = helpers.dataset(task, [*fitting(5, seed=4), ([1], [1, 2, 3, 4]), ([2], [1, 1, 1])])
    criterion = helpers.criterion("nat_ctc", task, label_smoothing=0.1)
    whole = gradient(model, criterion, [helpers.batch(data)])
    parts = gradient(model, criterion, [helpers.batch(data, part) for part in ([0, 5], [1], [2, 3], [6], [4])])
    torch.testing.assert_close(whole, parts, **helpers.ROUNDING)
    assert bool(whole.isfinite().all())


def test_every_parameter_gets_a_gradient() -> None:
    """Or pytorch_ddp would hang on the unused ones."""
    task = helpers.task()
    model = helpers.model(task, share_embeddings="none", **CTC)
    loss, _, _ = helpers.criterion("nat_ctc", task)(model, helpers.batch(helpers.dataset(task, fitting(4, seed=1))))
    loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_sentences_that_cannot_fit_are_counted_and_warned_of_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fairseq.logging import metrics

    monkeypatch.setattr(ctc_terms, "_warned", set())
    task = helpers.task()
    data = helpers.dataset(task, [([1], [1, 2, 3, 4]), ([1], [1, 2, 3]), ([2], [1, 1, 1])])
    loss, size, log = helpers.criterion("nat_ctc", task)(helpers.model(task, **CTC), helpers.batch(data))
    assert float(size) == 3
    assert bool(loss.isfinite())
    with caplog.at_level(logging.WARNING), metrics.aggregate() as aggregated:
        for _ in range(2):
            NatCtcCriterion.reduce_metrics([log])
    assert aggregated.get_smoothed_values()["ctc_unfit"] == 4
    assert "length_loss" not in aggregated.get_smoothed_values()
    [record] = [entry for entry in caplog.records if "raise --upsample-scale" in entry.getMessage()]
    assert record.getMessage().startswith("2 of 3 sentences")


def test_the_logged_loss_does_not_depend_on_which_sentences_make_a_batch() -> None:
    """Where nothing of a batch fits, it has no loss, and no weight."""
    from fairseq.logging import metrics

    task = helpers.task()
    model, criterion = helpers.model(task, **CTC).eval(), helpers.criterion("nat_ctc", task).eval()
    pairs = [([1], [1, 2, 3, 4]), ([3], [2, 1]), ([1], [1, 2, 3, 2]), ([2], [1, 1, 1])]
    losses = []
    for batches in ([pairs], [[pair] for pair in pairs], [pairs[:1]]):
        with metrics.aggregate() as aggregated:
            for batch in batches:
                log = criterion(model, helpers.batch(helpers.dataset(task, batch)))[2]
                NatCtcCriterion.reduce_metrics([log])
        losses.append(aggregated.get_smoothed_values()["loss"])
    assert losses[1] == pytest.approx(losses[0], abs=1e-3)
    assert 0 < losses[0] < losses[2] == math.inf


@pytest.mark.parametrize(
    ("name", "options", "remedy"),
    [
        ("nat_ctc", {}, "--arch ctc"),
        ("nat_cross_entropy", CTC, "nat_ctc"),
        ("nat_axe", CTC, "nat_ctc"),
        ("nat_oaxe", CTC, "nat_ctc"),
    ],
)
def test_a_criterion_refuses_another_ones_canvas(name: str, options: dict[str, Any], remedy: str) -> None:
    task = helpers.task()
    with pytest.raises(UserError, match=remedy):
        helpers.criterion(name, task).check_model(helpers.model(task, **options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"upsample_scale": 0.5, "masking": "full"}, "--upsample-scale must be at least 1"),
        ({"upsample_scale": float("inf")}, "--upsample-scale must be at least 1"),
    ],
)
def test_refuses_a_canvas_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        helpers.model(helpers.task(), **options)


@pytest.mark.parametrize("option", [{"length_candidates": 2}, {"iterations": 2}, {"length_multiplier": 1.1}])
def test_refuses_decoding_options_without_meaning(option: dict[str, Any]) -> None:
    task = helpers.task()
    with pytest.raises(UserError, match="has no meaning for a model with --upsample-scale"):
        task.build_generator([helpers.model(task, **CTC)], helpers.namespace(**option))


def test_the_longest_source_is_one_whose_canvas_fits() -> None:
    model = helpers.model(helpers.task(), **CTC)  # 64 positions: 63 slots and the end marker
    assert model.max_positions() == (22, 64)
