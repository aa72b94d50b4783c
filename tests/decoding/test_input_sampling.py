"""Input Sampling against a slow reference, one sentence and one slot at a time, and what it is refused for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from nat_plugin.canvas.random import Stream, sentence_hash, sentence_uniform
from nat_plugin.decoding.input_sampling import InputSampler
from nat_plugin.decoding.vanilla_nat import load_vanilla_nat
from nat_plugin.errors import UserError
from tests import helpers
from tests.decoding.test_reranking import plain_dictionary, save, teacher_model, teacher_task

SEED = 5
ALWAYS, NEVER = 100.0, -100.0


def sampled_model(task: Any, bias: float | None = None) -> Any:
    """A random model whose predictor is undecided from slot to slot; with ``bias`` it is sure of all slots."""
    model = helpers.varied_model(task, input_predictor=True)
    with torch.no_grad():
        model.input_predictor.projection.weight.mul_(2)
        if bias is not None:
            model.input_predictor.projection.weight.zero_()
            model.input_predictor.projection.bias.fill_(bias)
    return model


def vanilla_model(task: Any) -> Any:
    model = helpers.varied_model(task, masking="full")
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(9)))
    return model


def save_vanilla(path: Path, task: Any, model: Any) -> str:
    """A checkpoint as fairseq-train leaves it."""
    cfg = {
        "task": {
            **OmegaConf.to_container(task.cfg, enum_to_str=True, throw_on_missing=False),
            "_name": "nat_translation",
        },
        "model": {**OmegaConf.to_container(model.cfg, enum_to_str=True), "_name": "nat"},
    }
    state = {
        "cfg": cfg,
        "args": None,
        "model": model.state_dict(),
        "optimizer_history": [{"num_updates": 1, "lr_scheduler_state": {"best": None}}],
        "extra_state": {"epoch": 1, "train_iterator": {"epoch": 1}},
        "last_optimizer_state": None,
    }
    torch.save(state, path)
    return str(path)


def batch(task: Any, indices: list[int] | None = None) -> dict[str, Any]:
    return helpers.batch(helpers.dataset(task, helpers.pairs(8, seed=8, shortest=2), task.cfg.left_pad_source), indices)


def generate(task: Any, model: Any, sample: dict[str, Any], **options: Any) -> list[list[dict[str, Any]]]:
    flags = {"input_sampling": True, "input_sampling_seed": SEED, **options}
    return task.build_generator([model], helpers.namespace(**flags)).generate([model], sample)  # type: ignore[no-any-return]


def by_sentence(found: list[list[dict[str, Any]]], sample: dict[str, Any]) -> dict[int, list[dict[str, Any]]]:
    return dict(zip(sample["id"].tolist(), found, strict=True))


def reference(model: Any, vanilla: Any, source: torch.Tensor, length: int, symbols: dict[str, Any]) -> tuple[Any, Any]:
    """Tokens and scores of one canvas of one sentence."""
    lengths, src_lengths = torch.tensor([length]), torch.tensor([source.size(1)])
    encoded = [each.encode(source, src_lengths) for each in (model, vanilla)]
    hidden = torch.full((1, length), symbols["mask"])
    allowed = torch.ones(len(symbols["dictionary"]), dtype=torch.bool)
    allowed[symbols["never"]] = False

    def best(row: torch.Tensor) -> tuple[int, float]:
        lprobs = row.log_softmax(0)
        token = int(lprobs.masked_fill(~allowed, -math.inf).argmax())
        return token, float(lprobs[token])

    states = model.decoder.slot_features(*model._decoder_input(hidden, lengths, encoded[0]))
    head = model.input_predictor.projection
    uniform = sentence_uniform(
        SEED, 0, sentence_hash(source, torch.ones_like(source).bool()) + length, length, Stream.INPUT_SAMPLING
    )[0]
    said = vanilla.decode_canvas(hidden, lengths, encoded[1])[0]
    slots, tokens, scores = hidden.clone(), [], []
    masked = []
    for slot in range(length):
        probability = float((states[0, slot] @ head.weight[0] + head.bias[0]).sigmoid())
        masked.append(float(uniform[slot]) < probability)
        token, score = best(said[slot])
        tokens.append(token)
        scores.append(math.log(probability) if masked[-1] else math.log(1 - probability) + score)
        if not masked[-1]:
            slots[0, slot] = token
    logits = model.decode_canvas(slots, lengths, encoded[0])[0]
    for slot in range(length):
        if masked[slot]:
            tokens[slot], score = best(logits[slot])
            scores[slot] += score
    return tokens, scores


@pytest.mark.parametrize("left_pad_source", [False, True])
@torch.no_grad()
def test_fills_what_it_draws_and_shows_what_the_vanilla_nat_says(tmp_path: Path, left_pad_source: bool) -> None:
    task = helpers.task(left_pad_source=left_pad_source)
    model, vanilla = sampled_model(task), vanilla_model(task)
    path = save_vanilla(tmp_path / "vanilla.pt", task, vanilla)
    sample = batch(task)
    found = generate(task, model, sample, vanilla_nat=path, length_candidates=3, nbest=3)
    dictionary = task.target_dictionary
    never = [dictionary.bos(), dictionary.pad(), dictionary.eos(), task.mask_idx]
    symbols = {"mask": task.mask_idx, "dictionary": dictionary, "never": never}
    revealed = 0
    for row, entries in enumerate(found):
        source = sample["net_input"]["src_tokens"][row]
        source = source[source.ne(dictionary.pad())].unsqueeze(0)
        encoded = model.encode(source, torch.tensor([source.size(1)]))
        expected = [
            reference(model, vanilla, source, length, symbols)
            for length in model.candidate_lengths(encoded, 3)[0].tolist()
        ]
        for entry in entries:
            kept = [
                [(t, s) for t, s in zip(tokens, scores, strict=True) if t != task.blank_idx]
                for tokens, scores in expected
            ]
            [match] = [each for each in kept if [t for t, _ in each] == entry["tokens"].tolist()][:1]
            torch.testing.assert_close(entry["positional_scores"].tolist(), [s for _, s in match], rtol=1e-4, atol=1e-4)
            assert float(entry["score"]) == pytest.approx(sum(s for _, s in match) / len(match), rel=1e-4)
            assert entry["steps"] == 3
            revealed += len(match)
    assert revealed > 20


def test_depends_on_sentence_length_and_seed_alone(tmp_path: Path) -> None:
    task = helpers.task()
    model = sampled_model(task)
    path = save_vanilla(tmp_path / "vanilla.pt", task, vanilla_model(task))
    whole = batch(task)
    together = by_sentence(generate(task, model, whole, vanilla_nat=path, length_candidates=3, nbest=3), whole)
    for part in ([0], [5, 2, 7], [1, 3, 4, 6]):
        sample = batch(task, part)
        for place, entries in by_sentence(
            generate(task, model, sample, vanilla_nat=path, length_candidates=3, nbest=3), sample
        ).items():
            assert [entry["tokens"].tolist() for entry in entries] == [
                entry["tokens"].tolist() for entry in together[place]
            ]
    fewer = by_sentence(generate(task, model, whole, vanilla_nat=path), whole)
    for place, [entry] in fewer.items():  # the most probable length alone
        assert entry["tokens"].tolist() in [other["tokens"].tolist() for other in together[place]]
    other_seed = generate(task, model, whole, vanilla_nat=path, input_sampling_seed=SEED + 1)
    assert any(
        entry["tokens"].tolist() != fewer[place][0]["tokens"].tolist()
        for place, [entry] in by_sentence(other_seed, whole).items()
    )


def test_all_masked_is_default_decoding_and_nothing_masked_the_vanilla_nats(tmp_path: Path) -> None:
    task = helpers.task()
    vanilla = vanilla_model(task)
    path = save_vanilla(tmp_path / "vanilla.pt", task, vanilla)
    sample = batch(task)
    hidden = generate(task, sampled_model(task, ALWAYS), sample, vanilla_nat=path)
    default = task.build_generator([vanilla], helpers.namespace()).generate([sampled_model(task, ALWAYS)], sample)
    assert [e["tokens"].tolist() for [e] in hidden] == [e["tokens"].tolist() for [e] in default]
    for [mine], [plain] in zip(hidden, default, strict=True):
        torch.testing.assert_close(mine["positional_scores"], plain["positional_scores"])
    shown = generate(task, sampled_model(task, NEVER), sample, vanilla_nat=path)
    model = sampled_model(task, NEVER)
    # the vanilla NAT with the other model's lengths
    vanilla.candidate_lengths = lambda encoder_out, count: model.candidate_lengths(
        model.encode(sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"]), count
    )
    of_vanilla = task.build_generator([vanilla], helpers.namespace()).generate([vanilla], sample)
    assert [e["tokens"].tolist() for [e] in shown] == [e["tokens"].tolist() for [e] in of_vanilla]


def test_draws_as_often_as_the_predictor_says() -> None:
    task = helpers.task()
    bias = 0.8
    model, vanilla = sampled_model(task, bias), vanilla_model(task)
    sentences = helpers.pairs(400, seed=3, shortest=4)
    sample = helpers.batch(helpers.dataset(task, sentences))
    seen: list[torch.Tensor] = []
    fill = model.fill_slots
    model.fill_slots = lambda slots, *rest: (seen.append(slots), fill(slots, *rest))[1]
    generator = task.build_generator([model], helpers.namespace())
    generator.sampler = InputSampler(vanilla, SEED)
    generator.generate([model], sample)
    encoded = model.encode(sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"])
    lengths = model.candidate_lengths(encoded, 1)[:, 0]
    real = torch.arange(seen[0].size(1)) < lengths.unsqueeze(1)
    share = float(seen[0].eq(task.mask_idx)[real].float().mean())
    probability = 1 / (1 + math.exp(-bias))
    assert abs(share - probability) < 4 * math.sqrt(probability * (1 - probability) / int(real.sum()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "--input-sampling needs a vanilla NAT"),
        ({"vanilla_nat": "v.pt", "iterations": 4}, "--iterations 4 would mask what it reveals"),
        ({"vanilla_nat": "v.pt", "input_sampling": False}, "--vanilla-nat belongs to --input-sampling"),
        ({"input_sampling": False}, "--input-sampling-seed belongs to --input-sampling"),
        ({"vanilla_nat": "no/such.pt"}, "there is no checkpoint at --vanilla-nat no/such.pt"),
    ],
)
def test_refuses_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    task = helpers.task()
    with pytest.raises(UserError, match=message):
        generate(task, sampled_model(task), batch(task), **options)


def test_refuses_models_without_a_predictor() -> None:
    task = helpers.task()
    with pytest.raises(UserError, match="needs a model that was trained with --input-predictor"):
        generate(task, helpers.varied_model(task), batch(task), vanilla_nat="v.pt")


def test_refuses_checkpoints_that_are_no_vanilla_nat_of_this_data(tmp_path: Path) -> None:
    task, path = helpers.task(), tmp_path / "vanilla.pt"

    def refusal(other_task: Any, other: Any) -> str:
        save_vanilla(path, other_task, other)
        with pytest.raises(UserError) as error:
            load_vanilla_nat(str(path), task)
        return str(error.value)

    assert "--masking uniform" in refusal(task, helpers.model(task))
    assert "--upsample-scale" in refusal(task, helpers.model(task, masking="full", upsample_scale=2.0))
    larger = helpers.task()
    larger.target_dictionary.add_symbol("one-more")
    assert "words on the" in refusal(larger, helpers.model(larger, masking="full"))
    backwards = helpers.task(source_lang="b", target_lang="a")
    assert "translates b to a, not a to b: use a vanilla NAT of these languages" in refusal(
        backwards, helpers.model(backwards, masking="full")
    )
    plain = plain_dictionary()
    teacher = save(tmp_path / "teacher.pt", teacher_model(plain), teacher_task(plain))
    with pytest.raises(UserError, match="no model of --task nat_translation"):
        load_vanilla_nat(teacher, task)


def test_refuses_words_of_another_dictionary(tmp_path: Path) -> None:
    task = helpers.task()
    theirs = helpers.dictionary()
    theirs.symbols[theirs.index("w1")] = "other"
    for language in ("a", "b"):
        theirs.save(str(tmp_path / f"dict.{language}.txt"))
    vanilla_task = helpers.task(data=str(tmp_path))
    path = save_vanilla(tmp_path / "vanilla.pt", vanilla_task, helpers.model(vanilla_task, masking="full"))
    with pytest.raises(UserError, match=r"another dictionary .* use a vanilla NAT of this data"):
        load_vanilla_nat(path, task)


def test_refuses_a_vanilla_nat_for_shorter_sentences(tmp_path: Path) -> None:
    task = helpers.task()
    vanilla = helpers.varied_model(task, masking="full", max_target_positions=32)
    path = save_vanilla(tmp_path / "vanilla.pt", task, vanilla)
    with pytest.raises(UserError, match="the vanilla NAT takes 64 source and 32 target tokens and the model 64 and 64"):
        generate(task, sampled_model(task), batch(task), vanilla_nat=path)
