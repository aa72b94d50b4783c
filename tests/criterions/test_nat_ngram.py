"""JM-NAT's objective: equal to a count by hand with its gradient, exact however a batch is cut."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from nat_plugin.criterions.base import target_batch
from nat_plugin.errors import UserError
from tests import helpers
from tests.alignments.test_ngram import by_hand
from tests.criterions.test_nat_ctc import CTC, fitting
from tests.criterions.test_normalisation import gradient

JM_NAT = {"encoder_mask_prob": 0.4, "decoder_mask_span": 2, "decoder_mask_fill": "bert"}


def output_of(model: Any, sample: dict[str, Any]) -> tuple[Any, Any]:
    """The model's output in training, and the targets."""
    targets = target_batch(sample["target"], model.symbols.pad)
    net_input = {key: sample["net_input"][key] for key in ("src_tokens", "src_lengths")}
    output = model(**net_input, targets=targets.tokens, target_lengths=targets.lengths, sentence_ids=sample["id"])
    return output, targets


def equation_8(output: Any, targets: Any, n: int, smoothing: float, predict: str, match: str) -> dict[str, Tensor]:
    """Each term of each sentence, [B], word by word."""
    lprobs = output.logits.log_softmax(-1)
    said = output.encoder_prediction
    source = said.logits.log_softmax(-1)
    terms: dict[str, list[Tensor]] = {"nll": [], "enc": [], "gram": [], "len": [], "units": []}
    for row, length in enumerate(targets.lengths.tolist()):
        tokens = targets.tokens[row, :length].tolist()
        masked = output.masked[row, :length].tolist() if predict == "masks" else [True] * length
        zero = lprobs.new_zeros(())
        terms["nll"].append(
            sum(
                (
                    -(1 - smoothing) * lprobs[row, slot, token] - smoothing * lprobs[row, slot].mean()
                    for slot, token in enumerate(tokens)
                    if masked[slot]
                ),
                zero,
            )
        )
        own = [index for index, sentence in enumerate(said.sentences.tolist()) if sentence == row]
        terms["enc"].append(sum((-source[index, said.tokens[index]] for index in own), zero))
        terms["gram"].append(by_hand(lprobs[row], tokens, n, masked, match) + zero)
        length_lprobs = output.length_logits[row].float().log_softmax(-1)
        terms["len"].append(-length_lprobs[output.length_classes[row]])
        terms["units"].append(zero + sum(masked))
    return {name: torch.stack(values) for name, values in terms.items()}


@pytest.mark.parametrize(
    ("n", "predict", "match"),
    [(2, "masks", "bag"), (3, "masks", "bag"), (2, "all", "bag"), (2, "masks", "place"), (3, "all", "place")],
)
def test_is_equation_8_with_its_gradient(n: int, predict: str, match: str) -> None:
    task = helpers.task()
    model = helpers.model(task, **JM_NAT, init="xavier").double().train()
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(7, seed=2, shortest=2)))
    weights = {"encoder_loss_factor": 0.7, "ngram_loss_factor": 0.3, "length_loss_weight": 0.2, "label_smoothing": 0.1}
    criterion = helpers.criterion("nat_ngram", task, ngram_size=n, ngram_match=match, predict=predict, **weights)

    def expected_costs() -> tuple[dict[str, Tensor], Tensor]:
        terms = equation_8(*output_of(model, sample), n, 0.1, predict, match)
        words = terms["nll"] + 0.7 * terms["enc"] + 0.3 * terms["gram"]
        return terms, words + terms["units"] * 0.2 * terms["len"]

    terms, expected = expected_costs()
    loss, size, log = criterion(model, sample)
    torch.testing.assert_close(loss, expected.sum())
    assert float(size) == float(terms["units"].sum())
    assert bool((terms["gram"] > 0).any())
    assert bool((terms["enc"] > 0).any())
    assert float(log["word_loss"]) == pytest.approx(float(terms["nll"].sum().detach()))
    assert float(log["ngram_loss"]) == pytest.approx(float(terms["gram"].sum().detach()), rel=1e-6)
    assert float(log["encoder_loss"]) == pytest.approx(float(terms["enc"].sum().detach()))
    ours = gradient(model, criterion, [sample])
    model.zero_grad()
    expected_costs()[1].sum().backward()
    theirs = torch.cat([parameter.grad.flatten() for parameter in model.parameters()]) / float(size)
    torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-12)
    each, _, _ = criterion(model, sample, reduce=False)
    torch.testing.assert_close(each, expected)


def test_without_its_terms_it_is_nat_cross_entropy() -> None:
    task = helpers.task()
    model = helpers.model(task, **JM_NAT).train()
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(7, seed=2)))
    off = {"encoder_loss_factor": 0.0, "label_smoothing": 0.1}
    loss, size, _ = helpers.criterion("nat_ngram", task, ngram_loss_factor=0.0, **off)(model, sample)
    expected, expected_size, _ = helpers.criterion("nat_cross_entropy", task, **off)(model, sample)
    assert float(size) == float(expected_size)
    torch.testing.assert_close(loss, expected)


MODELS: list[tuple[str, dict[str, Any]]] = [
    ("nat_ngram", JM_NAT),
    ("nat_ngram", {**JM_NAT, "decoder_mask_span": 3, "share_embeddings": "none", "copying": "soft"}),
    ("nat_ngram", {"masking": "glancing", "decoder_mask_fill": "bert", "encoder_mask_prob": 0.3}),
    ("nat_axe", JM_NAT),
    ("nat_oaxe", {**JM_NAT, "latent_dim": 4, "latent_layers": 1}),
    ("nat_ctc", {**CTC, **JM_NAT, "masking": "uniform"}),
    ("nat_ctc", {**CTC, "masking": "glancing", "encoder_mask_prob": 0.3, "latent_dim": 4, "latent_layers": 1}),
]


@pytest.mark.parametrize(("name", "options"), MODELS)
@pytest.mark.parametrize("left_pad_source", [False, True])
def test_micro_batches_give_the_gradient_of_the_whole(
    name: str, options: dict[str, Any], left_pad_source: bool
) -> None:
    """Several workers too: what is masked depends on the sentence, and nothing else is shared."""
    task = helpers.task(left_pad_source=left_pad_source)
    model = helpers.model(task, **options).double().train()
    model.set_num_updates(7)
    pairs = [*fitting(6, seed=4), ([1], [1, 2, 3, 4]), ([2], [1, 1, 1])]
    data = helpers.dataset(task, pairs, left_pad_source)
    criterion = helpers.criterion(name, task, label_smoothing=0.1, encoder_loss_factor=1.0)
    whole = gradient(model, criterion, [helpers.batch(data)])
    parts = gradient(model, criterion, [helpers.batch(data, part) for part in ([0, 5, 7], [1], [2, 3], [6], [4])])
    torch.testing.assert_close(whole, parts, **helpers.ROUNDING)
    assert bool(whole.isfinite().all())


def test_a_sentence_that_ctc_leaves_out_costs_its_encoder_nothing() -> None:
    task = helpers.task()
    model = helpers.model(task, **CTC, encoder_mask_prob=1.0).train()
    criterion = helpers.criterion("nat_ctc", task, encoder_loss_factor=1.0)
    data = helpers.dataset(task, [([1, 2], [1, 2]), ([3], [1, 2, 3, 4])])
    both, size, log = criterion(model, helpers.batch(data))
    alone, alone_size, _ = criterion(model, helpers.batch(data, [0]))
    torch.testing.assert_close(both, alone)
    assert float(size) == float(alone_size) == 2
    assert float(log["encoder_tokens"]) == 2


def test_logs_each_term_in_its_own_unit() -> None:
    from fairseq.logging import metrics

    task = helpers.task()
    model = helpers.model(task, **JM_NAT).train()
    criterion = helpers.criterion("nat_ngram", task)
    samples = [helpers.batch(helpers.dataset(task, helpers.pairs(6, seed=seed))) for seed in (1, 2)]
    logs = [criterion(model, sample)[2] for sample in samples]
    with metrics.aggregate() as aggregated:
        type(criterion).reduce_metrics(logs)
    values = aggregated.get_smoothed_values()

    def ratio(part: str, whole: str) -> float:
        return float(sum(log[part] for log in logs) / sum(log[whole] for log in logs))

    assert values["ngram_loss"] == pytest.approx(ratio("ngram_loss", "ngram_windows"), abs=1e-4)
    assert 0 < values["ngram_loss"] <= 1
    assert values["encoder_loss"] == pytest.approx(ratio("encoder_loss", "encoder_tokens") / math.log(2), abs=1e-3)
    assert values["word_loss"] == pytest.approx(ratio("word_loss", "sample_size") / math.log(2), abs=1e-3)
    assert all(set(log) == set(logs[0]) for log in logs)
    model.eval()
    with metrics.aggregate() as aggregated:
        type(criterion).reduce_metrics([criterion(model, samples[0])[2]])
    assert "encoder_loss" not in aggregated.get_smoothed_values()
    assert "ngram_loss" in aggregated.get_smoothed_values()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ngram_size": 1}, "--ngram-size must be 2 or more"),
        ({"ngram_loss_factor": -0.1}, "--ngram-loss-factor must be 0 or more"),
        ({"ngram_loss_factor": math.nan}, "--ngram-loss-factor must be 0 or more"),
        ({"encoder_loss_factor": -0.1}, "--encoder-loss-factor must be 0 or more"),
    ],
)
def test_refuses_values_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        helpers.criterion("nat_ngram", helpers.task(), **options)


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (CTC, "drop --upsample-scale"),
        ({"masking": "fixed_ratio", "glancing_ratio": "1"}, "use --masking uniform"),
    ],
)
def test_refuses_a_model_in_which_no_n_grams_are_masked(options: dict[str, Any], remedy: str) -> None:
    task = helpers.task()
    with pytest.raises(UserError, match=remedy):
        helpers.criterion("nat_ngram", task).check_model(helpers.model(task, **options))
    helpers.criterion("nat_ngram", task).check_model(helpers.model(task, masking="full"))
