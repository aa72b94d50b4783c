"""Two decoder passes in one forward: what the second is shown, that dropout is one, and that every loss learns so."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from nat_plugin.errors import UserError
from nat_plugin.padding import length_mask
from tests import helpers
from tests.criterions.test_nat_ctc import fitting
from tests.criterions.test_normalisation import gradient

GLAT = {"masking": "glancing"}
CTC = {"upsample_scale": 3.0}
CRITERIONS = ["nat_cross_entropy", "nat_axe", "nat_oaxe", "nat_ctc"]


class Passes:
    """Notes what the decoder is given, and what it says, at every pass."""

    def __init__(self, model: Any) -> None:
        self.slots: list[Tensor] = []
        self.logits: list[Tensor] = []
        self.encoder_runs = 0
        original = model.decode_canvas

        def decode_canvas(slots: Tensor, lengths: Tensor, encoder_out: dict[str, Any]) -> Tensor:
            self.slots.append(slots)
            self.logits.append(original(slots, lengths, encoder_out))
            return self.logits[-1]

        def count(*_: Any) -> None:
            self.encoder_runs += 1

        model.decode_canvas = decode_canvas
        model.encoder.register_forward_hook(count)


def build(criterion_name: str, **options: Any) -> tuple[Any, Any, Any]:
    """A task, a glancing model in training and its criterion."""
    task = helpers.task()
    canvas = CTC if criterion_name == "nat_ctc" else {}
    model = helpers.model(task, **{**GLAT, **canvas, **options}).train()
    return task, model, helpers.criterion(criterion_name, task)


def run(model: Any, criterion: Any, sample: dict[str, Any]) -> Any:
    """The model's output for the criterion's own proxy targets."""
    outputs = []
    hook = model.register_forward_hook(lambda *parts: outputs.append(parts[-1]))
    criterion(model, sample)
    hook.remove()
    return outputs[0]


@pytest.mark.parametrize("name", CRITERIONS)
@pytest.mark.parametrize("copying", ["none", "soft"])
def test_the_second_pass_is_shown_the_proxy_of_the_first(name: str, copying: str) -> None:
    task, model, criterion = build(name, copying=copying, glancing_ratio="0.7")
    sample = helpers.batch(helpers.dataset(task, fitting(6, seed=2)))
    passes = Passes(model)
    output = run(model, criterion, sample)
    assert passes.encoder_runs == 1
    first, second = passes.slots
    assert bool((first == task.mask_idx).all())
    real = length_mask(output.lengths, second.size(1))
    shown = real & (second != task.mask_idx)
    assert torch.equal(shown, real & ~output.masked)
    assert 0 < int(shown.sum()) < int(real.sum())
    assert torch.equal(second[shown], output.proxy[shown])
    wrong = (passes.logits[0].argmax(2).ne(output.proxy) & real).sum(1)
    assert (real.sum(1) - wrong).tolist() == output.first_pass_hits.tolist()
    expected = torch.minimum((0.7 * wrong.double() + 1e-9).floor().long(), output.lengths - 1)
    assert shown.sum(1).tolist() == expected.tolist()


@pytest.mark.parametrize("name", CRITERIONS)
def test_the_proxy_is_the_target_in_the_slots_of_its_alignment(name: str) -> None:
    task, model, criterion = build(name)
    sample = helpers.batch(helpers.dataset(task, fitting(6, seed=2)))
    output = run(model, criterion, sample)
    for row, target in enumerate(sample["target"].tolist()):
        words = [token for token in target if token not in (task.target_dictionary.pad(), task.target_dictionary.eos())]
        slots = output.proxy[row, : output.lengths[row]].tolist()
        if name == "nat_cross_entropy":
            assert slots == words
        elif name == "nat_oaxe":
            assert sorted(slots) == sorted(words)
        elif name == "nat_axe":  # an order, in which targets may be skipped
            rest = iter(words)
            assert all(token in rest for token in slots if token != task.blank_idx)
        else:
            starts = [token for place, token in enumerate(slots) if place == 0 or token != slots[place - 1]]
            assert [token for token in starts if token != task.blank_idx] == words


@pytest.mark.parametrize("name", CRITERIONS)
def test_both_passes_have_one_dropout_and_cost_the_random_numbers_of_one(name: str) -> None:
    """With nothing revealed the second pass is the first one again, to the last bit."""
    task, model, criterion = build(name, dropout=0.5, attention_dropout=0.1, glancing_ratio="0")
    sample = helpers.batch(helpers.dataset(task, fitting(4, seed=2)))
    passes = Passes(model)
    torch.manual_seed(5)
    loss, _, _ = criterion(model, sample)
    first, second = passes.logits
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert second.requires_grad
    after = torch.get_rng_state()
    plain = helpers.model(
        task, masking="full", dropout=0.5, attention_dropout=0.1, **(CTC if name == "nat_ctc" else {})
    )
    plain.load_state_dict(model.state_dict())
    torch.manual_seed(5)
    expected, _, _ = criterion(plain.train(), sample)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    assert torch.equal(after, torch.get_rng_state())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("nat_cross_entropy", {}),
        ("nat_axe", {"glancing_choice": "p_ref"}),
        ("nat_ctc", {"glancing_count": "poisson"}),
        ("nat_ctc", {"masking": "uniform"}),
        ("nat_oaxe", {"masking": "fixed_ratio", "glancing_choice": "one_minus_p_ref"}),
    ],
)
def test_validation_has_one_pass_over_masked_slots(name: str, options: dict[str, Any]) -> None:
    task, model, criterion = build(name, **options)
    sample = helpers.batch(helpers.dataset(task, fitting(4, seed=2)))
    model.eval()
    passes = Passes(model)
    _, _, log = criterion(model, sample)
    [slots] = passes.slots
    assert bool((slots == task.mask_idx).all())
    assert log["revealed"] == 0
    assert log["first_pass_slots"] == 0


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("nat_cross_entropy", {"glancing_count": "poisson"}),
        ("nat_axe", {"glancing_distance": "levenshtein", "glancing_ratio": "0.8:0.2@20"}),
        ("nat_axe", {"masking": "uniform", "copying": "soft"}),
        ("nat_oaxe", {"glancing_choice": "one_minus_p_ref"}),
        ("nat_oaxe", {"masking": "uniform"}),
        ("nat_cross_entropy", {"masking": "fixed_ratio", "glancing_ratio": "0.4"}),
        ("nat_ctc", {"glancing_choice": "p_ref", "copying": "soft"}),
        ("nat_ctc", {"masking": "uniform", "copying": "uniform"}),
    ],
)
def test_micro_batches_give_the_gradient_of_the_whole(name: str, options: dict[str, Any]) -> None:
    """Several workers too: what is drawn depends on the sentence, and nothing else is shared."""
    task, model, criterion = build(name, **options)
    model = model.double()
    model.set_num_updates(7)
    data = helpers.dataset(task, [*fitting(6, seed=4), ([1], [1, 2, 3, 4]), ([2], [1, 1, 1])])
    whole = gradient(model, criterion, [helpers.batch(data)])
    parts = gradient(model, criterion, [helpers.batch(data, part) for part in ([0, 5, 7], [1], [2, 3], [6], [4])])
    torch.testing.assert_close(whole, parts, **helpers.ROUNDING)


@pytest.mark.parametrize("name", ["nat_cross_entropy", "nat_axe", "nat_oaxe"])
def test_what_is_revealed_is_not_paid_for(name: str) -> None:
    """Whatever the model says in slots that show a token, as long as the alignment stays, the loss is the same."""
    task, model, criterion = build(name, glancing_ratio="0.5")
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(6, seed=2, shortest=4)))
    output = run(model, criterion, sample)
    logits = output.logits.detach().clone().requires_grad_()
    from nat_plugin.criterions.base import target_batch

    targets = target_batch(sample["target"], task.target_dictionary.pad())
    words = criterion.word_loss(output._replace(logits=logits), targets)
    assert words.units.tolist() == output.masked.sum(1).tolist()
    words.costs.sum().backward()
    assert logits.grad is not None
    shown = length_mask(output.lengths, logits.size(1)) & ~output.masked
    touched = logits.grad.abs().sum(2) > 0
    assert bool(shown.any())
    if name != "nat_axe":  # a path of AXE may still put another target there
        assert not bool((touched & shown).any())
        assert bool(touched[output.masked].all())
    else:
        everything = criterion.word_loss(output._replace(masked=length_mask(output.lengths, logits.size(1))), targets)
        assert bool((words.costs <= everything.costs + 1e-5).all())


@pytest.mark.parametrize("name", CRITERIONS)
def test_no_gradient_is_lost_under_autocast(name: str) -> None:
    """Autocast keeps the weights that it cast, and those of the first pass have no gradient."""
    task, model, criterion = build(name, share_embeddings="none", copying="soft")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _, _ = criterion(model, helpers.batch(helpers.dataset(task, fitting(4, seed=1))))
    loss.backward()
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []
    silent = [
        key
        for key, parameter in model.named_parameters()
        if not bool(parameter.grad.any()) and "k_proj.bias" not in key
    ]
    assert silent == []


@pytest.mark.parametrize("name", CRITERIONS)
def test_runs_in_bfloat16(name: str) -> None:
    task, model, criterion = build(name, glancing_choice="p_ref", copying="soft")
    loss, _, _ = criterion(model.to(torch.bfloat16), helpers.batch(helpers.dataset(task, fitting(4, seed=1))))
    loss.backward()
    assert bool(torch.isfinite(loss))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("nat_cross_entropy", {"glancing_ratio": "0.5:0.3@100"}),
        ("nat_axe", {"copying": "soft", "glancing_choice": "one_minus_p_ref"}),
        ("nat_ctc", {"copying": "soft", "glancing_count": "poisson", "glancing_distance": "levenshtein"}),
        ("nat_ctc", {"copying": "soft", "masking": "uniform"}),
        ("nat_oaxe", {}),
    ],
)
def test_learns_a_handful_of_pairs_and_reveals_ever_less(name: str, options: dict[str, Any]) -> None:
    task, model, criterion = build(name, encoder_embed_dim=32, decoder_embed_dim=32, **options)
    pairs = fitting(4, seed=3, longest=4) if name == "nat_ctc" else helpers.pairs(5, seed=3, shortest=3)
    data = helpers.dataset(task, pairs)
    sample = helpers.batch(data)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    logs = []
    for update in range(150):
        model.set_num_updates(update)
        loss, size, log = criterion(model, sample)
        optimizer.zero_grad()
        (loss / size).backward()
        optimizer.step()
        logs.append(log)
    shares = [float(log["first_pass_hits"] / log["first_pass_slots"]) for log in logs]
    assert shares[-1] == 1 > shares[0]
    if options.get("masking") != "uniform":
        assert logs[0]["revealed"] > 0
        assert logs[-1]["revealed"] == 0
    best = task.build_generator([model], helpers.namespace()).generate([model], sample)
    for row, sentence in enumerate(sample["id"].tolist()):
        tokens, expected = best[row][0]["tokens"].tolist(), data.tgt[sentence][:-1].tolist()
        in_any_order = name == "nat_oaxe"
        assert (sorted(tokens) if in_any_order else tokens) == (sorted(expected) if in_any_order else expected)


def test_logs_the_share_revealed_and_the_accuracy_of_the_first_pass() -> None:
    from fairseq.logging import metrics

    task, model, criterion = build("nat_cross_entropy", glancing_ratio="1")
    logs = [
        criterion(model, helpers.batch(helpers.dataset(task, helpers.pairs(6, seed=s, shortest=3))))[2] for s in (1, 2)
    ]
    with metrics.aggregate() as aggregated:
        type(criterion).reduce_metrics(logs)
    values = aggregated.get_smoothed_values()
    slots, hits, revealed = (sum(float(log[key]) for log in logs) for key in ("slots", "first_pass_hits", "revealed"))
    assert values["first_pass_accuracy"] == pytest.approx(hits / slots, abs=1e-4)
    assert values["revealed"] == pytest.approx(revealed / slots, abs=1e-4)
    assert 0 < values["revealed"] <= 1 - values["first_pass_accuracy"] + 1e-4
    assert all(set(log) == set(logs[0]) for log in logs)
    with metrics.aggregate() as aggregated:
        full = helpers.model(task, masking="full")
        type(criterion).reduce_metrics([criterion(full, helpers.batch(helpers.dataset(task, helpers.pairs(3))))[2]])
    assert "revealed" not in aggregated.get_smoothed_values()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"glancing_ratio": "half"}, "--glancing-ratio 'half' is no schedule: write 0.5"),
        ({"glancing_ratio": "0.5:1.5@3k"}, "--glancing-ratio 0.5:1.5@3k must stay between 0 and 1"),
    ],
)
def test_refuses_a_ratio_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build("nat_cross_entropy", **options)


def test_refuses_a_margin_that_is_no_probability() -> None:
    with pytest.raises(UserError, match="--truncation-margin is a probability"):
        helpers.criterion("nat_oaxe", helpers.task(), truncation_margin=-2.0)


def test_masked_slots_hold_noise_after_a_first_pass_too() -> None:
    """``--decoder-mask-fill bert``: some of them a random word or their own, never one that is shown."""
    task, model, criterion = build("nat_cross_entropy", decoder_mask_fill="bert", glancing_ratio="0.1")
    passes = Passes(model)
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(40, seed=3)))
    output = run(model, criterion, sample)
    first, second = passes.slots
    assert set(first[length_mask(output.lengths, first.size(1))].tolist()) == {task.mask_idx}
    filled = second[output.masked]
    noisy = filled.ne(task.mask_idx)
    assert 0.05 < noisy.double().mean().item() < 0.4
    assert len(set(filled[noisy].tolist())) > 3
