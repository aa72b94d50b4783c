"""Candidates from several values of a latent variable."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from nat_plugin.canvas.random import sentence_hash
from nat_plugin.decoding.reranking import TeacherReranker
from nat_plugin.errors import UserError
from tests import helpers
from tests.decoding import test_reranking

CTC = {"masking": "full", "upsample_scale": 2.0}
LENGTHS: dict[str, Any] = {}


def latent_model(task: Any, always: int = 0, **options: Any) -> Any:
    """A random model whose translations depend on z; with ``always`` it has that draw instead of the prior's mean."""
    model: Any = helpers.varied_model(task, latent_dim=4, **options)
    with torch.no_grad():
        model.latent.to_states.weight.mul_(200)
    if always:
        encode = model.encode

        def encode_with_draw(src_tokens: Tensor, src_lengths: Tensor) -> dict[str, Any]:
            encoder_out = encode(src_tokens, src_lengths)
            ids = sentence_hash(src_tokens, ~encoder_out["encoder_padding_mask"][0])
            drawn: dict[str, Any] = model.sample_latent(encoder_out, 0.1, ids + always)
            return drawn

        model.encode = encode_with_draw
    return model


def generate(task: Any, model: Any, batch: dict[str, Any], **options: Any) -> list[list[dict[str, Any]]]:
    return task.build_generator([model], helpers.namespace(**options)).generate([model], batch)  # type: ignore[no-any-return]


def texts(found: list[list[dict[str, Any]]]) -> list[list[tuple[int, ...]]]:
    return [[tuple(entry["tokens"].tolist()) for entry in entries] for entries in found]


def sample(task: Any, indices: list[int] | None = None) -> dict[str, Any]:
    return helpers.batch(helpers.dataset(task, helpers.pairs(6, seed=8, shortest=2), task.cfg.left_pad_source), indices)


@pytest.mark.parametrize(
    ("model_options", "decoding"),
    [
        (LENGTHS, {"length_candidates": 2}),
        (LENGTHS, {"iterations": 3}),
        (CTC, {}),
        (CTC, {"ctc_beam": 3, "ctc_search": "torch"}),
        (CTC, {"ctc_beam": 3, "ctc_search": "torch", "ctc_candidates": 1}),
    ],
)
def test_the_candidates_are_those_of_each_draw(model_options: dict[str, Any], decoding: dict[str, Any]) -> None:
    task = helpers.task()
    batch = sample(task)
    each = decoding.get("length_candidates", 1) * (decoding.get("ctc_candidates") or decoding.get("ctc_beam", 1))
    alone = [
        generate(task, latent_model(task, always=draw, **model_options), batch, nbest=each, **decoding)
        for draw in range(4)
    ]
    together = generate(task, latent_model(task, **model_options), batch, latent_samples=4, nbest=4 * each, **decoding)
    for row, found in enumerate(together):
        best: dict[tuple[int, ...], dict[str, Any]] = {}
        for entry in sorted((entry for draw in alone for entry in draw[row]), key=lambda entry: -entry["score"]):
            best.setdefault(tuple(entry["tokens"].tolist()), entry)
        assert {tuple(entry["tokens"].tolist()) for entry in found} == set(best)
        assert [entry["score"] for entry in found] == pytest.approx(
            [entry["score"] for entry in best.values()], abs=1e-4
        )
        for entry in found:
            scores = best[tuple(entry["tokens"].tolist())]["positional_scores"]
            torch.testing.assert_close(entry["positional_scores"], scores, rtol=1e-4, atol=1e-4)
    assert sum(map(len, together)) > len(together)  # z matters


@pytest.mark.parametrize("left_pad_source", [False, True])
def test_a_draw_depends_on_the_sentence_alone(left_pad_source: bool) -> None:
    task = helpers.task(left_pad_source=left_pad_source)
    model, batch = latent_model(task, **CTC), sample(task)
    model.sample_latent = Mock(wraps=model.sample_latent)
    options = {"latent_samples": 3, "nbest": 3, "latent_temperature": 0.25}
    together = texts(generate(task, model, batch, **options))
    for row, index in enumerate(batch["id"].tolist()):
        assert texts(generate(task, model, sample(task, [index]), **options)) == [together[row]]
    without_ids = {"net_input": batch["net_input"]}  # all that fairseq-interactive gives
    assert texts(generate(task, model, without_ids, **options)) == together
    assert {call.args[1] for call in model.sample_latent.call_args_list} == {0.25}


def test_one_sample_is_the_mean_of_the_prior() -> None:
    task = helpers.task()
    batch = sample(task)
    means = texts(generate(task, latent_model(task, **CTC), batch, latent_temperature=7.0))
    assert texts(generate(task, latent_model(task, **CTC), batch)) == means
    assert texts(generate(task, latent_model(task, always=1, **CTC), batch)) != means


@pytest.mark.parametrize("decoding", [{}, {"ctc_beam": 4, "ctc_search": "torch", "ctc_candidates": 1}])
def test_the_teacher_chooses_among_the_draws(decoding: dict[str, Any], tmp_path: Path) -> None:
    """Alone, and on top of beam search for each z: Gu & Kong 2021, Table 3, last row."""
    dictionary = test_reranking.plain_dictionary()
    teacher = test_reranking.teacher_model(dictionary)
    path = test_reranking.save(tmp_path / "teacher.pt", teacher, test_reranking.teacher_task(dictionary))
    task = helpers.task()
    model, batch = latent_model(task, **CTC), sample(task)
    options = {"latent_samples": 5, "nbest": 5, **decoding}
    own = generate(task, model, batch, **options)
    chosen = generate(task, model, batch, reranker=path, **options)
    scorer = TeacherReranker(teacher, dictionary)
    for row, (before, after) in enumerate(zip(texts(own), texts(chosen), strict=True)):
        assert set(before) == set(after)
        source = {key: batch["net_input"][key][row : row + 1] for key in ("src_tokens", "src_lengths")}
        scores = [
            float(scorer.score(**source, tokens=torch.tensor([text]), lengths=torch.tensor([len(text)])))
            for text in after
        ]
        assert [entry["score"] for entry in chosen[row]] == pytest.approx(scores, abs=1e-5)
        assert scores == sorted(scores, reverse=True)
    assert texts(own) != texts(chosen)


def test_a_model_without_a_latent_variable_is_refused() -> None:
    task = helpers.task()
    with pytest.raises(UserError, match="--latent-samples 2 draws a latent variable, and this model has none"):
        task.build_generator([helpers.model(task, **CTC)], helpers.namespace(latent_samples=2))
