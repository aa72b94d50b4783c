"""The model: learns, keeps sentences apart, counts lengths, and is safe to save."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from nat_plugin.decoding.options import DecodingOptions
from nat_plugin.decoding.output_symbols import OutputSymbols
from nat_plugin.errors import UserError
from nat_plugin.models.length_predictor import LengthPredictor
from tests import helpers


def overfit(criterion_name: str, steps: int = 150, **criterion_options: Any) -> tuple[Any, Any, Any]:
    """Train a tiny model on a handful of pairs until it knows them; the task, the model and the data."""
    task = helpers.task()
    model = helpers.model(task, encoder_embed_dim=32, decoder_embed_dim=32)
    data = helpers.dataset(task, helpers.pairs(6, seed=3, shortest=3))
    sample = helpers.batch(data)
    criterion = helpers.criterion(criterion_name, task, **criterion_options)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    model.train()
    for update in range(steps):
        model.set_num_updates(update)
        loss, size, _ = criterion(model, sample)
        optimizer.zero_grad()
        (loss / size).backward()
        optimizer.step()
    return task, model, data


@pytest.mark.parametrize(
    ("criterion_name", "options"),
    [
        ("nat_cross_entropy", {}),
        ("nat_axe", {"skip_target_penalty": 2.0}),
        ("nat_axe", {"predict": "all", "skip_target_penalty": 4.0}),
    ],
)
def test_overfits_a_handful_of_pairs(criterion_name: str, options: dict[str, Any]) -> None:
    task, model, data = overfit(criterion_name, **options)
    generator = task.build_generator([model], helpers.namespace())
    sample = helpers.batch(data)
    hypotheses = task.inference_step(generator, [model], sample)
    for sentence, best in zip(sample["id"].tolist(), hypotheses, strict=True):
        assert best[0]["tokens"].tolist() == data.tgt[sentence][:-1].tolist()


@pytest.mark.parametrize("iterations", [1, 4])
@pytest.mark.parametrize("left_pad_source", [False, True])
def test_a_sentence_translates_alike_in_any_batch(iterations: int, left_pad_source: bool) -> None:
    task = helpers.task(left_pad_source=left_pad_source)
    model = helpers.model(task, encoder_layers=2).eval()
    data = helpers.dataset(task, helpers.pairs(9, seed=5), left_pad_source)
    options = {"length_candidates": 3, "iterations": iterations}
    generator = task.build_generator([model], helpers.namespace(**options))
    together = helpers.batch(data)
    hypotheses = generator.generate([model], together)
    for row, sentence in enumerate(together["id"].tolist()):
        alone = generator.generate([model], helpers.batch(data, [sentence]))[0][0]
        assert hypotheses[row][0]["tokens"].tolist() == alone["tokens"].tolist()
        assert hypotheses[row][0]["score"] == pytest.approx(alone["score"], abs=1e-4)


def test_generation_is_unharmed_by_fairseqs_beam_trick() -> None:
    """fairseq-generate calls prepare_for_inference_ with its beam (5 by default), which shares keys among 5 rows."""
    task = helpers.task()
    model = helpers.model(task).eval()
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(10, seed=5)))
    generator = task.build_generator([model], helpers.namespace())
    before = generator.generate([model], sample)
    model.prepare_for_inference_(helpers.namespace(generation=helpers.namespace(beam=5, print_alignment=None)))
    after = generator.generate([model], sample)
    assert [h[0]["tokens"].tolist() for h in before] == [h[0]["tokens"].tolist() for h in after]


def test_special_symbols_never_reach_the_output() -> None:
    task = helpers.task()
    model = helpers.model(task).eval()
    with torch.no_grad():  # make the model want nothing but special symbols
        for name in ("mask_idx", "blank_idx"):
            model.decoder.output_projection.weight[getattr(task, name)] *= 1000
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(8, seed=2)))
    generator = task.build_generator([model], helpers.namespace(length_candidates=4, iterations=3))
    special = {task.mask_idx, task.blank_idx, task.target_dictionary.pad(), task.target_dictionary.eos()}
    for sentence in generator.generate([model], sample):
        for hypothesis in sentence:
            assert not special & set(hypothesis["tokens"].tolist())
            assert len(hypothesis["tokens"]) == len(hypothesis["positional_scores"])


def test_length_candidates_are_the_true_top_k_and_have_no_ceiling_at_255() -> None:
    predictor = LengthPredictor(4, max_offset=300)
    logits = torch.randn(2, 601)
    lengths, lprobs = predictor.most_probable(logits, torch.tensor([400, 10]), 5, 1000)
    for row, source in enumerate((400, 10)):
        possible = {
            source + offset: logits[row].log_softmax(-1)[offset + 300].item()
            for offset in range(-300, 301)
            if source + offset >= 1
        }
        expected = sorted(possible, key=lambda length: -possible[length])[:5]
        assert lengths[row].tolist() == expected
        assert lprobs[row].tolist() == pytest.approx([possible[length] for length in expected], abs=1e-5)
    forced = torch.full((1, 601), -10.0)
    forced[0, 300 + 250] = 10.0
    assert predictor.most_probable(forced, torch.tensor([200]), 1, 1000)[0].tolist() == [[450]]


def test_lengths_outside_the_canvas_are_not_proposed() -> None:
    predictor = LengthPredictor(4, max_offset=5)
    lengths, _ = predictor.most_probable(torch.randn(1, 11), torch.tensor([2]), 11, 4)
    assert lengths.min() >= 1
    assert lengths.max() <= 4


def test_nbest_of_the_length_candidates_is_sorted_and_history_is_kept() -> None:
    task = helpers.task()
    model = helpers.model(task).eval()
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(4, seed=2)))
    options = DecodingOptions(length_candidates=4, nbest=3, iterations=3, retain_history=True)
    generator = task.build_generator([model], helpers.namespace())
    generator.options = options
    for sentence in generator.generate([model], sample):
        scores = [hypothesis["score"] for hypothesis in sentence]
        assert len(scores) == 3
        assert scores == sorted(scores, reverse=True)
        assert all(len(hypothesis["history"]) == 3 for hypothesis in sentence)
        assert all(
            hypothesis["history"][-1]["tokens"].tolist() == hypothesis["tokens"].tolist() for hypothesis in sentence
        )
        for hypothesis in sentence:
            assert hypothesis["score"] == pytest.approx(hypothesis["positional_scores"].mean().item(), abs=1e-5)


def test_bert_initialisation() -> None:
    model = helpers.model(helpers.task(), encoder_embed_dim=64, decoder_embed_dim=64)
    weights = torch.cat([layer.fc1.weight.flatten() for layer in model.encoder.layers])
    assert weights.std().item() == pytest.approx(0.02, rel=0.1)
    assert all((layer.fc1.bias == 0).all() for layer in model.encoder.layers)
    assert all((layer.final_layer_norm.weight == 1).all() for layer in model.encoder.layers)


def test_embeddings_are_shared_as_told() -> None:
    task = helpers.task()
    everything = helpers.model(task)
    assert everything.encoder.embed_tokens is everything.decoder.embed_tokens
    assert everything.decoder.output_projection.weight is everything.decoder.embed_tokens.weight
    target_side = helpers.model(task, share_embeddings="decoder")
    assert target_side.encoder.embed_tokens is not target_side.decoder.embed_tokens
    assert target_side.decoder.output_projection.weight is target_side.decoder.embed_tokens.weight
    nothing = helpers.model(task, share_embeddings="none")
    assert nothing.decoder.output_projection.weight is not nothing.decoder.embed_tokens.weight
    task.src_dict = helpers.dictionary(words=20)
    with pytest.raises(UserError, match="--share-embeddings decoder"):
        helpers.model(task)


def test_every_parameter_gets_a_gradient() -> None:
    """Or pytorch_ddp would hang on the unused ones."""
    task = helpers.task()
    model = helpers.model(task, share_embeddings="none")
    loss, _, _ = helpers.criterion("nat_axe", task)(model, helpers.batch(helpers.dataset(task, helpers.pairs(4))))
    loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("name", ["nat_cross_entropy", "nat_axe"])
def test_runs_in_bfloat16(name: str) -> None:
    task = helpers.task()
    model = helpers.model(task).to(torch.bfloat16)
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(4)))
    loss, _, _ = helpers.criterion(name, task, label_smoothing=0.1)(model, sample)
    loss.backward()
    assert torch.isfinite(loss)
    generator = task.build_generator([model], helpers.namespace(length_candidates=2))
    assert len(generator.generate([model.eval()], sample)) == 4


@pytest.mark.parametrize("logits_at_once", [1, 10_000])
def test_top_slots_are_those_of_all_logits(logits_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nat_plugin.models.slot_model.logits_at_once", lambda device: logits_at_once)
    task = helpers.task()
    model = helpers.model(task).eval()
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(5, seed=2)))
    encoder_out = model.encode(sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"])
    lengths = torch.tensor([3, 7, 1, 5, 7])
    slots = torch.full((5, 7), task.mask_idx)
    symbols = OutputSymbols(task.target_dictionary, blank_penalty=0.7)
    expected = model.decode_canvas(slots, lengths, encoder_out).float().log_softmax(-1)
    expected[..., symbols.never_predicted] = float("-inf")
    expected[..., task.blank_idx] -= 0.7
    chunks = list(model.top_slots(slots, lengths, encoder_out, symbols, 4))
    assert len(chunks) == (5 if logits_at_once == 1 else 1)
    lprobs, tokens = (torch.cat(parts) for parts in zip(*chunks, strict=True))
    torch.testing.assert_close(lprobs, expected.topk(4).values)
    torch.testing.assert_close(expected.gather(-1, tokens), lprobs)
