"""Dynamic KD in the model: what is chosen, that training goes on with it as with any target, and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nat_plugin.models import target_choice
from nat_plugin.models.target_choice import TargetCandidates, choose_targets
from tests import helpers

METHODS: list[tuple[str, dict[str, Any]]] = [
    ("nat_cross_entropy", {"masking": "full", "copying": "soft"}),
    ("nat_cross_entropy", {"masking": "uniform"}),
    ("nat_cross_entropy", {"masking": "glancing", "glancing_ratio": "0.7"}),
    ("nat_cross_entropy", {"masking": "glancing", "glancing_choice": "p_ref", "copying": "soft"}),
    ("nat_cross_entropy", {"masking": "fixed_ratio", "glancing_ratio": "0.4", "glancing_choice": "one_minus_p_ref"}),
    ("nat_axe", {"masking": "glancing", "glancing_ratio": "0.7"}),
    ("nat_axe", {"masking": "full"}),
    ("nat_oaxe", {"masking": "glancing", "glancing_ratio": "0.7"}),
    ("nat_ngram", {"masking": "uniform", "decoder_mask_span": 2, "positional_attention": 1, "encoder_mask_prob": 0.3}),
    ("nat_cross_entropy", {"masking": "full", "latent_dim": 4, "latent_layers": 1}),
    ("nat_cross_entropy", {"masking": "glancing", "latent_dim": 4, "latent_layers": 1}),
]
# torch can hang where a DDP model goes right after its backward pass (tests/models/test_latent.py): they go with Python
KEPT: list[torch.nn.Module] = []
DROPOUT = {"dropout": 0.3, "activation_dropout": 0.2}


def build(name: str = "nat_cross_entropy", **options: Any) -> tuple[Any, Any, Any]:
    """Task, a model of strong opinions in training mode, criterion."""
    task = helpers.task()
    model = helpers.varied_model(task, **options).train()
    return task, model, helpers.criterion(name, task)


def batch(task: Any, sentences: int = 6, count: int = 4, seed: int = 3, regulariser: bool = False) -> dict[str, Any]:
    """Sentences with ``count`` candidates of 2 to 8 words; the last two of each have one length."""
    pairs = helpers.pairs(sentences, seed=seed, shortest=2)
    sample = helpers.batch(helpers.dataset(task, pairs))
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, 9, (sentences, count), generator=draw)
    lengths[:, -1] = lengths[:, -2]
    first = task.target_dictionary.index("w0")
    tokens = torch.randint(first, first + helpers.WORDS, (sentences, count, 8), generator=draw)
    tokens = tokens.masked_fill(torch.arange(8) >= lengths.unsqueeze(2), task.target_dictionary.pad())
    bonus = 4 * torch.rand(sentences, count, generator=draw, dtype=torch.float64) if regulariser else None
    sample["candidates"] = {"tokens": tokens, "lengths": lengths, "regulariser": bonus, "per_token": False}
    return sample


def part(sample: dict[str, Any], rows: list[int]) -> dict[str, Any]:
    """Some sentences of a batch, and no more padding of candidates than they need."""
    found = sample["candidates"]
    lengths = found["lengths"][rows]
    return {
        "id": sample["id"][rows],
        "net_input": {key: value[rows] for key, value in sample["net_input"].items()},
        "target": sample["target"][rows],
        "candidates": {
            "tokens": found["tokens"][rows][:, :, : int(lengths.max())],
            "lengths": lengths,
            "regulariser": None if found["regulariser"] is None else found["regulariser"][rows],
            "per_token": found["per_token"],
        },
    }


def chosen_of(model: Any, sample: dict[str, Any]) -> Any:
    """The choice that the model makes."""
    encoder_out = model.encode(sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"])
    return choose_targets(model, TargetCandidates(**sample["candidates"]), encoder_out, keep_pass=False)


def cost_alone(model: Any, sample: dict[str, Any], row: int, candidate: int) -> float:
    """-Σ log p of one candidate on a masked canvas of its length, decoded by itself."""
    source = sample["net_input"]["src_tokens"][row : row + 1]
    source_length = sample["net_input"]["src_lengths"][row : row + 1]
    length = sample["candidates"]["lengths"][row, candidate]
    tokens = sample["candidates"]["tokens"][row, candidate, :length]
    slots = torch.full((1, int(length)), model.symbols.mask)
    logits = model.decode_canvas(slots, length.view(1), model.encode(source, source_length))
    return -float(logits.detach().log_softmax(2)[0, torch.arange(int(length)), tokens].sum())


@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize("regulariser", [False, True])
@pytest.mark.parametrize("copying", ["none", "soft", "hard"])
def test_the_choice_is_that_of_candidates_scored_one_by_one(per_token: bool, regulariser: bool, copying: str) -> None:
    task, model, _ = build(copying=copying)
    model = model.double()
    sample = batch(task, regulariser=regulariser)
    found = {**sample["candidates"], "per_token": per_token}
    chosen = chosen_of(model, {**sample, "candidates": found})
    seen = set()
    for row in range(6):
        costs = [cost_alone(model, sample, row, candidate) for candidate in range(4)]
        if per_token:
            costs = [cost / int(length) for cost, length in zip(costs, found["lengths"][row], strict=True)]
        bonus = found["regulariser"][row].tolist() if regulariser else [0.0] * 4
        best = min(range(4), key=lambda candidate: costs[candidate] - bonus[candidate])
        assert int(chosen.choice[row]) == best
        assert float(chosen.cost[row]) == pytest.approx(costs[best], rel=1e-5)
        assert float(chosen.regulariser[row]) == pytest.approx(bonus[best])
        length = int(chosen.lengths[row])
        assert length == int(found["lengths"][row, best])
        assert chosen.tokens[row, :length].tolist() == found["tokens"][row, best, :length].tolist()
        seen.add(best)
    assert len(seen) > 1
    assert chosen.tokens.size(1) == int(chosen.lengths.max())


def test_few_logits_at_once_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    task, model, _ = build()
    whole = chosen_of(model, batch(task))
    monkeypatch.setattr(target_choice, "logits_at_once", lambda device: 1)
    pieces = chosen_of(model, batch(task))
    assert whole.choice.tolist() == pieces.choice.tolist()
    torch.testing.assert_close(whole.cost, pieces.cost)


def test_of_equal_candidates_the_first_is_chosen_and_each_length_is_decoded_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task, model, _ = build()
    sample = batch(task)
    found = sample["candidates"]
    for name in ("tokens", "lengths"):
        found[name][:, 2:] = found[name][:, 1:2]
    rows = []
    states = model.slot_states
    monkeypatch.setattr(model, "slot_states", lambda slots, *rest: (rows.append(len(slots)), states(slots, *rest))[1])
    chosen = chosen_of(model, sample)
    assert set(chosen.choice.tolist()) <= {0, 1}
    assert rows == [sum(len(set(lengths)) for lengths in found["lengths"].tolist())]


def losses(model: Any, criterion: Any, sample: dict[str, Any]) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Loss, gradient and log of a step from one state of the random numbers."""
    model.zero_grad()
    torch.manual_seed(11)
    loss, _, log = criterion(model, sample)
    loss.backward()
    return loss.detach(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]), log


@pytest.mark.parametrize(("name", "options"), METHODS)
def test_training_goes_on_as_if_the_chosen_targets_were_the_batchs(name: str, options: dict[str, Any]) -> None:
    """Dropout included: the choice leaves the random numbers as they were, and a first pass that is not made again is
    the one that would have been made."""
    task, model, criterion = build(name, **options, **DROPOUT)
    model.set_num_updates(5)
    sample = batch(task, regulariser=True)
    found, eos = sample["candidates"], task.target_dictionary.eos()
    loss, gradient, log = losses(model, criterion, sample)
    torch.manual_seed(11)
    choice = criterion.predict(model, sample)[1].chosen
    assert len(set(choice.choice.tolist())) > 1
    target = torch.nn.functional.pad(choice.tokens, (0, 1), value=task.target_dictionary.pad())
    target = target.scatter(1, choice.lengths.unsqueeze(1), eos)
    plain = {key: value for key, value in sample.items() if key != "candidates"}
    expected, expected_gradient, expected_log = losses(model, criterion, {**plain, "target": target})
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-5)
    for key, value in expected_log.items():
        assert float(log[key]) == pytest.approx(float(value), rel=1e-4), key
    assert found["tokens"].size(1) == 4


@pytest.mark.parametrize(
    ("options", "passes"),
    [
        ({"masking": "glancing"}, 1),
        ({"masking": "glancing", "dropout": 0.3}, 1),
        ({"masking": "glancing", "attention_dropout": 0.1}, 2),
        ({"masking": "glancing", "latent_dim": 4, "latent_layers": 1}, 2),
        ({"masking": "full"}, 1),
    ],
)
def test_the_scored_canvas_is_the_first_pass_where_dropout_agrees(
    options: dict[str, Any], passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, model, criterion = build(**options)
    made = []
    decode = model.decode_canvas
    monkeypatch.setattr(model, "decode_canvas", lambda *inputs: (made.append(1), decode(*inputs))[1])
    _, _, log = criterion(model, batch(task))
    assert len(made) == passes
    assert float(log["first_pass_slots"]) == (float(log["slots"]) if options["masking"] == "glancing" else 0)


def test_with_nothing_revealed_the_second_pass_is_what_was_scored() -> None:
    """To the rounding of another batch: the dropout of a canvas is that of its sentence."""
    task, model, criterion = build(masking="glancing", glancing_ratio="0", **DROPOUT)
    torch.manual_seed(5)
    _, output = criterion.predict(model, batch(task))
    scored = model.decoder.output_layer(output.chosen.first_pass.states)
    real = torch.arange(8) < output.lengths.unsqueeze(1)
    torch.testing.assert_close(output.logits[real], scored[real], rtol=1e-4, atol=1e-5)
    torch.manual_seed(6)
    other = criterion.predict(model, batch(task))[1].chosen.first_pass.states
    assert not torch.allclose(other[real], output.chosen.first_pass.states[real], atol=1e-2)


@pytest.mark.parametrize(("name", "options"), METHODS)
def test_micro_batches_give_the_gradient_of_the_whole(name: str, options: dict[str, Any]) -> None:
    """Several workers too: nothing of a choice is shared among sentences."""
    task, model, criterion = build(name, **options)
    model = model.double()
    model.set_num_updates(7)
    sample = batch(task, regulariser=True)
    whole = losses(model, criterion, sample)
    parts = [losses(model, criterion, part(sample, rows)) for rows in ([0, 4], [1], [2, 3, 5])]
    for log_key in ("choices", "chosen_1", "candidate_cost", "candidate_regulariser"):
        if log_key in whole[2]:
            assert float(whole[2][log_key]) == pytest.approx(sum(float(log[log_key]) for _, _, log in parts), rel=1e-6)
    torch.testing.assert_close(sum(gradient for _, gradient, _ in parts), whole[1], **helpers.ROUNDING)


def test_validation_is_about_the_batchs_own_target() -> None:
    task, model, criterion = build(masking="glancing")
    model.eval()
    sample = batch(task)
    loss, size, _ = criterion(model, sample)
    plain, plain_size, _ = criterion(model, {key: value for key, value in sample.items() if key != "candidates"})
    assert torch.equal(loss, plain)
    assert int(size) == int(plain_size)


@pytest.mark.parametrize("masking", ["full", "glancing"])
def test_no_gradient_is_lost_under_autocast(masking: str) -> None:
    task, model, criterion = build(masking=masking, copying="soft")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _, _ = criterion(model, batch(task))
    loss.backward()
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []


def test_runs_in_bfloat16() -> None:
    task, model, criterion = build(masking="glancing", glancing_choice="p_ref", copying="soft")
    loss, _, _ = criterion(model.to(torch.bfloat16), batch(task, regulariser=True))
    loss.backward()
    assert bool(torch.isfinite(loss))


def test_learns_the_candidate_that_the_regulariser_prefers() -> None:
    task = helpers.task()
    model = helpers.model(task, masking="glancing", encoder_embed_dim=32, decoder_embed_dim=32, init="xavier").train()
    criterion = helpers.criterion("nat_cross_entropy", task)
    criterion.candidates = 4
    sample = batch(task, sentences=4)
    sample["candidates"]["regulariser"] = torch.tensor([[0.0, 1000, 0, 0]] * 3 + [[0.0, 0, 0, 1000]]).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for update in range(150):
        model.set_num_updates(update)
        loss, size, log = criterion(model, sample)
        optimizer.zero_grad()
        (loss / size).backward()
        optimizer.step()
    assert [float(log[f"chosen_{place}"]) for place in (1, 2, 3, 4)] == [0, 3, 0, 1]
    best = task.build_generator([model], helpers.namespace()).generate([model], sample)
    for row, candidate in enumerate((1, 1, 1, 3)):
        length = sample["candidates"]["lengths"][row, candidate]
        expected = sample["candidates"]["tokens"][row, candidate, :length].tolist()
        assert best[row][0]["tokens"].tolist() == expected


def test_torchs_ddp_takes_a_choice_and_two_passes(tmp_path: Path) -> None:
    """It raises at the second step where a parameter had no gradient in the first."""
    task, model, criterion = build(masking="glancing", copying="soft")
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        parallel = torch.nn.parallel.DistributedDataParallel(model)
        KEPT.append(parallel)
        for seed in range(3):
            sample = batch(task, seed=seed, regulariser=True)
            loss, _, log = criterion(parallel, sample)
            loss.backward()
            assert float(log["choices"]) == 6
    finally:
        torch.distributed.destroy_process_group()


def test_logs_the_share_of_each_candidate() -> None:
    from fairseq.logging import metrics

    task, model, criterion = build(masking="full")
    criterion.candidates = 4
    logs = [criterion(model, batch(task, seed=seed, regulariser=True))[2] for seed in (3, 4)]
    choices = torch.cat([chosen_of(model, batch(task, seed=seed, regulariser=True)).choice for seed in (3, 4)])
    with metrics.aggregate() as aggregated:
        type(criterion).reduce_metrics(logs)
    values = aggregated.get_smoothed_values()
    for place in range(4):
        assert values[f"chosen_{place + 1}"] == pytest.approx(float(choices.eq(place).float().mean()), abs=1e-4)
    assert values["candidate_cost"] == pytest.approx(sum(float(log["candidate_cost"]) for log in logs) / 12, abs=1e-3)
    assert values["candidate_regulariser"] > 0
    model.eval()
    validation = criterion(model, batch(task))[2]
    assert set(validation) == set(logs[0])
    with metrics.aggregate() as aggregated:
        type(criterion).reduce_metrics([validation])
    assert "chosen_1" not in aggregated.get_smoothed_values()
