"""Latent alignments on autoregressive models: the theory of Haviv et al. 2021, exact sums, and what is said."""

from __future__ import annotations

import itertools
import logging
import math
from typing import Any

import pytest
import torch
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from omegaconf import OmegaConf

from nat_plugin.alignments import label_smoothed_cross_entropy
from nat_plugin.criterions import ctc_terms
from nat_plugin.criterions.ctc_ar import CtcArCriterion
from nat_plugin.errors import UserError
from tests import helpers
from tests.criterions.test_normalisation import gradient

CRITERIONS = ["axe", "causal_axe", "ctc_ar"]


def task(**options: Any) -> TranslationTask:
    """fairseq's own task over dictionaries with our symbols."""
    shared = options.pop("dictionary", helpers.dictionary())
    settings = {"data": "none", "source_lang": "a", "target_lang": "b", "required_seq_len_multiple": 1}
    config = {**settings, "train_subset": "train", "dataset_impl": None, "_name": "translation", **options}
    return TranslationTask(OmegaConf.merge(OmegaConf.structured(TranslationConfig), config), shared, shared)


def transformer(for_task: TranslationTask, **options: Any) -> Any:
    """fairseq's ordinary one, of one layer a side, without dropout."""
    from fairseq.models.transformer import TransformerConfig, TransformerModel
    from fairseq.models.transformer.transformer_config import DecoderConfig, EncDecBaseConfig

    config = TransformerConfig()
    config.encoder, config.decoder = EncDecBaseConfig(), DecoderConfig()  # by default classes, which all would share
    for side in (config.encoder, config.decoder):
        side.embed_dim, side.ffn_embed_dim, side.layers, side.attention_heads = 32, 64, 1, 2
    config.dropout, config.share_all_embeddings = 0.0, True
    config.max_source_positions = config.max_target_positions = 64
    config.decoder.output_dim = config.decoder.input_dim = config.decoder.embed_dim
    for name, value in options.items():
        owner, _, key = name.rpartition("__")
        setattr(getattr(config, owner) if owner else config, key, value)
    return TransformerModel.build_model(config, for_task)


def without_repeats(count: int, seed: int, shortest: int = 2) -> list[tuple[list[int], list[int]]]:
    """Pairs whose targets have no equal neighbours."""
    pairs = []
    for source, target in helpers.pairs(20 * count, seed=seed, shortest=shortest):
        if all(left != right for left, right in itertools.pairwise(target)):
            pairs.append((source, target))
    return pairs[:count]


class Says(torch.nn.Module):
    """Predicts from its input alone: ε first, then its input; where the sentence ends, both of the last targets.

    Args:
        share: what the last prediction gives the token before the end of sentence.
    """

    def __init__(self, for_task: TranslationTask, targets: torch.Tensor, blank: int, share: float = 0.5) -> None:
        super().__init__()
        self.vocabulary, self.targets, self.blank, self.share = len(for_task.target_dictionary), targets, blank, share
        self.eos, self.pad = for_task.target_dictionary.eos(), for_task.target_dictionary.pad()

    def forward(self, prev_output_tokens: torch.Tensor, **_: Any) -> tuple[torch.Tensor, None]:
        said = prev_output_tokens.masked_fill(prev_output_tokens == self.eos, self.blank)
        probabilities = torch.nn.functional.one_hot(said, self.vocabulary).float() + 1e-12
        for row, length in enumerate(self.targets.ne(self.pad).sum(1).tolist()):
            probabilities[row, length - 1, said[row, length - 1]] = self.share
            probabilities[row, length - 1, self.eos] = 1 - self.share
        return probabilities.log(), None


@pytest.mark.parametrize("delta", [1.0, 3.0])
def test_a_copying_predictor_pays_for_its_last_prediction_alone(delta: float) -> None:
    """§5: at best -2·log ½ / n for δ = 1, and in general what one distribution costs that two targets share."""
    made = task()
    sample = helpers.batch(helpers.dataset(made, without_repeats(6, seed=1)))
    criterion = helpers.criterion("axe", made, skip_target_penalty=delta)
    model = Says(made, sample["target"], criterion.blank_idx, share=1 / (1 + delta))
    loss, size, log = criterion(model, sample)
    tokens, sentences = int(sample["ntokens"]), len(sample["id"])
    assert int(size) == tokens  # end of sentence is a target
    once = -math.log(1 / (1 + delta)) - delta * math.log(delta / (1 + delta))
    assert float(loss) == pytest.approx(sentences * once, rel=1e-4)
    if delta == 1:
        assert float(loss / size) == pytest.approx(2 * math.log(2) * sentences / tokens, rel=1e-4)
    assert (int(log["axe_skip_prediction"]), int(log["axe_skip_target"])) == (sentences, sentences)
    assert int(log["axe_trivial"]) == 0
    causal = helpers.criterion("causal_axe", made, skip_target_penalty=delta)(model, sample)[0]
    assert float(causal / size) > 10


def test_ctc_with_one_prediction_a_target_is_cross_entropy() -> None:
    """§3, where no token stands beside its equal; a sentence in which one does has no path, and is counted."""
    made = task()
    model = transformer(made).eval()
    data = helpers.dataset(made, [*without_repeats(6, seed=2), ([1, 2], [3, 3]), ([1], [4, 5, 5, 5])])
    criterion = helpers.criterion("ctc_ar", made, predictions_per_target=1).eval()
    for indices, unfit in (([0, 1, 2], 0), ([3, 4, 5, 6, 7], 2)):
        sample = helpers.batch(data, indices)
        loss, size, log = criterion(model, sample)
        fitting = helpers.batch(data, [index for index in indices if index < 6])
        logits, _ = model(**fitting["net_input"])
        mask = fitting["target"].ne(made.target_dictionary.pad())
        expected = label_smoothed_cross_entropy(logits, fitting["target"], mask=mask, reduction="sum")
        torch.testing.assert_close(loss, expected)
        assert (int(size), int(log["ctc_unfit"])) == (int(mask.sum()), unfit)
        assert int(log["ctc_trivial"]) == int(log["ctc_paths"]) == len(indices) - unfit


def test_ctc_with_doubled_predictions_is_gamed_by_copying() -> None:
    """§5: fed each token twice, a model that says its input needs nothing else but to know where the sentence ends."""
    made = task()
    sample = helpers.batch(helpers.dataset(made, without_repeats(6, seed=3)))
    criterion = helpers.criterion("ctc_ar", made).eval()
    targets, eos, pad = sample["target"], made.target_dictionary.eos(), made.target_dictionary.pad()

    class Copies(torch.nn.Module):
        def forward(self, prev_output_tokens: torch.Tensor, **_: Any) -> tuple[torch.Tensor, None]:
            assert torch.equal(prev_output_tokens[:, ::2], prev_output_tokens[:, 1::2])
            said = prev_output_tokens.masked_fill(prev_output_tokens == eos, criterion.blank_idx)
            for row, length in enumerate(targets.ne(pad).sum(1).tolist()):
                said[row, 2 * length - 1] = eos
            return (torch.nn.functional.one_hot(said, len(made.target_dictionary)) + 1e-9).log(), None

    loss, size, log = criterion(Copies(), sample)
    assert float(loss / size) < 1e-5
    sentences = len(sample["id"])
    # ε ε, then each target twice but for the last word, which has </s> beside it
    assert int(log["ctc_blanks"]) == 2 * sentences
    assert int(log["ctc_targets"]) == int(size)
    assert int(log["ctc_trivial"]) == 0


@pytest.mark.parametrize("name", CRITERIONS)
def test_micro_batches_give_the_gradient_of_the_whole(name: str) -> None:
    made = task()
    model = transformer(made).double()
    data = helpers.dataset(made, helpers.pairs(12, seed=4))
    criterion = helpers.criterion(name, made, label_smoothing=0.1)
    whole = gradient(model, criterion, [helpers.batch(data)])
    parts = [helpers.batch(data, part) for part in ([0, 5], [1], [2, 3, 4, 6, 7, 8], [9, 10, 11])]
    torch.testing.assert_close(whole, gradient(model, criterion, parts), **helpers.ROUNDING)


@pytest.mark.parametrize("name", CRITERIONS)
def test_what_is_logged(name: str) -> None:
    from fairseq.logging import metrics

    made = task()
    model, criterion = transformer(made).eval(), helpers.criterion(name, made).eval()
    logs = [criterion(model, helpers.batch(helpers.dataset(made, helpers.pairs(6, seed=seed))))[2] for seed in (1, 2)]
    with metrics.aggregate() as aggregated:
        type(criterion).reduce_metrics(logs)
    values = aggregated.get_smoothed_values()
    tokens = sum(float(log["ntokens"]) for log in logs)
    assert values["loss"] == pytest.approx(sum(float(log["loss"]) for log in logs) / tokens / math.log(2), abs=1e-3)
    if name == "ctc_ar":
        assert values["align"] + values["clone_target"] + values["delimiter"] == pytest.approx(1, abs=1e-3)
        assert values["align"] == pytest.approx(0.5, abs=1e-4)  # n targets in 2n predictions
        training = helpers.criterion(name, made)
        training.train()
        log = training(model, helpers.batch(helpers.dataset(made, helpers.pairs(6, seed=1))))[2]
        assert log.keys() == logs[0].keys()
        assert float(log["ctc_paths"]) == 0
    else:
        assert values["align"] + values["skip_target"] == pytest.approx(1, abs=1e-3)
        assert values["align"] + values["skip_prediction"] == pytest.approx(1, abs=1e-3)
    assert 0 <= values["trivial"] <= 1


def train(name: str, pairs: list[tuple[list[int], list[int]]], updates: int) -> tuple[TranslationTask, Any, float]:
    """Overfit a transformer; the task, the model, and its last loss in nats a token."""
    made = task()
    model, sample = transformer(made), helpers.batch(helpers.dataset(made, pairs))
    criterion = helpers.criterion(name, made)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(updates):
        loss, size, _ = criterion(model, sample)
        optimizer.zero_grad()
        (loss / size).backward()
        optimizer.step()
    return made, model.eval(), float((loss / size).detach())


def translations(made: TranslationTask, model: Any, pairs: list[tuple[list[int], list[int]]]) -> list[list[int]]:
    """What fairseq's ordinary generator makes of the sources, without end of sentence."""
    from fairseq.sequence_generator import SequenceGenerator

    generator = SequenceGenerator([model], made.target_dictionary, beam_size=2, max_len_a=1, max_len_b=12)
    sample = helpers.batch(helpers.dataset(made, pairs))
    found = {}
    for sentence, hypotheses in zip(sample["id"].tolist(), generator.generate([model], sample), strict=True):
        best = hypotheses[0]
        assert len(best["tokens"]) == len(best["positional_scores"])
        found[sentence] = best["tokens"][:-1].tolist()
    return [found[index] for index in range(len(pairs))]


def words(made: TranslationTask, pairs: list[tuple[list[int], list[int]]]) -> list[list[int]]:
    first = made.target_dictionary.index("w0")
    return [[first + word for word in target] for _, target in pairs]


OVERFITTED = [([1, 2, 3], [4, 5, 6, 7]), ([2, 4], [1, 8, 2]), ([5], [9, 3]), ([7, 7, 1, 0], [10, 1, 0, 11, 5])]


def test_causal_axe_overfits_a_handful_of_pairs() -> None:
    made, model, loss = train("causal_axe", OVERFITTED, 250)
    assert loss < 0.15
    assert translations(made, model, OVERFITTED) == words(made, OVERFITTED)


def test_axe_learns_the_same_pairs_and_translates_none() -> None:
    """Loss near 2·ln 2 / n or below, and yet ε is what it says of each source: the paper's paradox."""
    made, model, loss = train("axe", OVERFITTED, 150)
    assert loss < 0.35  # 2·ln 2 / 4.5 = .308, which a model that knows its few sentences by heart may beat
    sample = helpers.batch(helpers.dataset(made, OVERFITTED))
    first = model(**sample["net_input"])[0][:, 0].argmax(-1)
    assert first.eq(made.target_dictionary.index("<blank>")).all()
    assert all(len(translation) < 2 for translation in translations(made, model, OVERFITTED))


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("axe", {}, "says <blank>"),
        ("axe", {"expect_degeneration": True}, ""),
        ("causal_axe", {}, ""),
        ("ctc_ar", {}, "with 2 predictions a target is known to degenerate"),
        ("ctc_ar", {"expect_degeneration": True}, ""),
        ("ctc_ar", {"predictions_per_target": 1, "expect_degeneration": True}, "is cross entropy"),
    ],
)
def test_warns_of_what_degenerates(
    caplog: pytest.LogCaptureFixture, name: str, options: dict[str, Any], said: str
) -> None:
    made = task()
    with caplog.at_level(logging.WARNING):
        helpers.criterion(name, made, **options).check_model(transformer(made))
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("nat_plugin")]
    assert len(messages) == bool(said)
    assert all(f"--criterion {name} " in message for message in messages)
    assert not said or said.replace("says", "say") in messages[0]


def test_refuses_in_one_sentence() -> None:
    from fairseq.data import Dictionary

    made = task()
    for name, remedy in (("axe", "nat_axe"), ("causal_axe", "nat_axe"), ("ctc_ar", "nat_ctc")):
        with pytest.raises(UserError, match=f"use --criterion {remedy} for a non-autoregressive one"):
            helpers.criterion(name, made).check_model(helpers.model(helpers.task()))
        with pytest.raises(UserError, match=f"--criterion {name} does not train non-autoregressive models"):
            helpers.task().build_criterion(OmegaConf.create({"_name": name}))
        with pytest.raises(UserError, match="drop --left-pad-target"):
            helpers.criterion(name, task(left_pad_target=True))
        with pytest.raises(UserError, match="needs <blank> in the target dictionary"):
            helpers.criterion(name, task(dictionary=Dictionary()))
        with pytest.raises(UserError, match="--label-smoothing must be in"):
            helpers.criterion(name, made, label_smoothing=1.0)
    with pytest.raises(UserError, match="--skip-target-penalty must be 0 or more"):
        helpers.criterion("axe", made, skip_target_penalty=-1.0)
    with pytest.raises(UserError, match="--predictions-per-target must be at least 1"):
        helpers.criterion("ctc_ar", made, predictions_per_target=0)
    long = helpers.batch(helpers.dataset(made, [([1], [1, 2] * 20)]))
    with pytest.raises(UserError, match="82 tokens, and the model 64 learned positions"):
        helpers.criterion("ctc_ar", made)(transformer(made, decoder__learned_pos=True), long)
    assert float(helpers.criterion("ctc_ar", made)(transformer(made), long)[1]) == 41
    for name, remedy in (("nat_axe", "axe or causal_axe"), ("nat_ctc", "ctc_ar")):
        with pytest.raises(UserError, match=f"an autoregressive one with --criterion {remedy}"):
            helpers.criterion(name, made)


def test_sentences_without_a_path_are_counted_and_warned_of_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fairseq.logging import metrics

    monkeypatch.setattr(ctc_terms, "_warned", set())
    made = task()
    sample = helpers.batch(helpers.dataset(made, [([1], [2, 2]), ([1], [2, 3])]))
    _, size, log = helpers.criterion("ctc_ar", made, predictions_per_target=1)(transformer(made), sample)
    assert int(size) == 3
    with caplog.at_level(logging.WARNING), metrics.aggregate() as aggregated:
        for _ in range(2):
            CtcArCriterion.reduce_metrics([log])
    assert aggregated.get_smoothed_values()["ctc_unfit"] == 2
    [message] = [record.getMessage() for record in caplog.records if "--predictions-per-target" in record.getMessage()]
    assert message.startswith("1 of 2 sentences")
