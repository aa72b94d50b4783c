"""The latent variable: its KL, its noise, what it learns, and that nothing depends on the batch."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from nat_plugin.canvas.random import sentence_normal
from nat_plugin.criterions.base import target_batch
from nat_plugin.decoding.output_symbols import OutputSymbols
from nat_plugin.errors import UserError
from nat_plugin.models.latent import Gaussian, latent_terms
from tests import helpers
from tests.criterions.test_nat_ctc import fitting
from tests.criterions.test_normalisation import gradient

VAE = {"latent_dim": 4, "latent_layers": 1}
CTC = {"masking": "full", "upsample_scale": 3.0, "copying": "soft"}


def build(name: str = "nat_cross_entropy", **options: Any) -> tuple[Any, Any, Any]:
    """A task, a model with a latent variable and a criterion."""
    task = helpers.task(left_pad_source=options.pop("left_pad_source", False))
    canvas = CTC if name == "nat_ctc" else {}
    return task, helpers.model(task, **{**VAE, **canvas, **options}), helpers.criterion(name, task)


def encode(model: Any, sample: dict[str, Any]) -> dict[str, Any]:
    encoder_out: dict[str, Any] = model.encode(sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"])
    return encoder_out


def gaussian(*shape: int, seed: int = 0) -> Gaussian:
    generator = torch.Generator().manual_seed(seed)
    return Gaussian(torch.randn(*shape, generator=generator), torch.rand(*shape, generator=generator).mul(3) + 0.1)


def test_normal_numbers_are_normal_and_those_of_the_sentence() -> None:
    drawn = sentence_normal(3, 7, torch.arange(5000), 8)
    assert drawn.mean().item() == pytest.approx(0, abs=0.02)
    assert drawn.std().item() == pytest.approx(1, abs=0.02)
    assert (drawn.abs() < 1.959964).double().mean().item() == pytest.approx(0.95, abs=0.005)
    assert bool(drawn.isfinite().all())
    assert torch.equal(sentence_normal(3, 7, torch.tensor([17]), 3)[0], drawn[17, :3])


def test_the_divergence_is_that_of_torch() -> None:
    posterior, prior = gaussian(2, 3, 4, seed=1), gaussian(2, 3, 4, seed=2)
    expected = torch.distributions.kl_divergence(*(torch.distributions.Normal(*each) for each in (posterior, prior)))
    torch.testing.assert_close(posterior.divergence(prior), expected)
    assert bool((posterior.divergence(posterior).abs() < 1e-6).all())


@pytest.mark.parametrize("free_bits", [0.0, 2.0])
def test_free_bits_are_of_a_position_and_the_mean_is_over_the_real_ones(free_bits: float) -> None:
    posterior, prior = gaussian(3, 5, 4, seed=1), gaussian(3, 5, 4, seed=2)
    padding = torch.tensor([[0, 0, 0, 1, 1], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]]).bool()
    terms = latent_terms(posterior, prior, padding, free_bits)
    divergences = posterior.divergence(prior)
    for row in range(3):
        real = divergences[row][~padding[row]]
        expected = sum(max(free_bits, float(position.sum())) for position in real) / len(real)
        assert float(terms.costs[row]) == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(terms.divergences, divergences[~padding].sum(0))
    assert float(terms.means) == pytest.approx(float(posterior.mean[~padding].sum()), rel=1e-4)
    assert float(terms.squares) == pytest.approx(float(posterior.mean[~padding].square().sum()), rel=1e-5)
    assert terms.positions.tolist() == [3, 2, 5]


@pytest.mark.parametrize("name", ["nat_cross_entropy", "nat_axe", "nat_ctc"])
@pytest.mark.parametrize("free_bits", ["0", "1.5:0.5@20"])
def test_micro_batches_give_the_gradient_of_the_whole(name: str, free_bits: str) -> None:
    """Padding, on either side, and the other sentences of a batch change nothing: neither posterior nor noise."""
    gradients = []
    for left_pad_source in (False, True):
        task, model, criterion = build(name, free_bits=free_bits, left_pad_source=left_pad_source)
        torch.manual_seed(1)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        model = model.double().train()
        model.set_num_updates(7)
        data = helpers.dataset(task, [*fitting(5, seed=4), ([1], [1, 2, 3, 4]), ([2], [1, 1, 1])], left_pad_source)
        gradients.append(gradient(model, criterion, [helpers.batch(data)]))
        parts = [helpers.batch(data, part) for part in ([0, 5], [1], [2, 3], [6], [4])]
        gradients.append(gradient(model, criterion, parts))
    for other in gradients[1:]:
        torch.testing.assert_close(gradients[0], other, **helpers.ROUNDING)


@pytest.mark.parametrize("name", ["nat_cross_entropy", "nat_ctc"])
def test_every_parameter_gets_a_gradient_and_only_embeddings_are_shared(name: str) -> None:
    task, model, criterion = build(name, share_embeddings="none", free_bits="0")
    loss, _, _ = criterion(model, helpers.batch(helpers.dataset(task, fitting(4, seed=1))))
    loss.backward()
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []
    of_latent = {id(parameter) for parameter in model.latent.parameters()}
    shared = {key for key, parameter in model.named_parameters() if id(parameter) in of_latent and "latent." not in key}
    assert shared == {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}
    assert not any("latent" in key for key, _ in helpers.model(task).named_parameters())


# torch can hang where a DDP model goes right after its backward pass: it waits, holding Python's lock, for a thread of
# gloo that may still want that lock for the last gradients. So they go when Python does.
KEPT: list[torch.nn.Module] = []


@pytest.mark.parametrize("name", ["nat_cross_entropy", "nat_ctc"])
def test_torchs_ddp_takes_two_passes_and_a_posterior(name: str, tmp_path: Path) -> None:
    """It raises at the second step where a parameter had no gradient in the first."""
    task, model, criterion = build(name, masking="glancing", copying="soft")
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        parallel = torch.nn.parallel.DistributedDataParallel(model.train())
        KEPT.append(parallel)
        for seed in range(3):
            loss, _, _ = criterion(parallel, helpers.batch(helpers.dataset(task, fitting(4, seed=seed))))
            loss.backward()
    finally:
        torch.distributed.destroy_process_group()


def test_saved_and_loaded_it_is_the_same() -> None:
    task, model, criterion = build()
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(4, seed=1)))
    torch.manual_seed(3)
    restored = helpers.model(task, **VAE)
    restored.load_state_dict(copy.deepcopy(model.state_dict()))  # fairseq's, which upgrades what it is given
    for each in (model, restored):
        each.eval()
    assert torch.equal(criterion(model, sample)[0], criterion(restored, sample)[0])


def test_the_widths_of_both_sides_may_differ() -> None:
    options = {"encoder_embed_dim": 32, "share_embeddings": "decoder", "max_source_positions": 20}
    task, model, criterion = build(**options, max_target_positions=40)
    data = helpers.dataset(task, [([1] * 18, [2] * 38), *helpers.pairs(3)])
    loss = criterion(model, helpers.batch(data))[0]
    loss.backward()
    assert bool(torch.isfinite(loss))
    assert model.latent.to_states.weight.shape == (32, VAE["latent_dim"])
    assert bool(model.latent.to_states.weight.grad.any())


class TestSampling:
    def test_without_noise_it_is_the_priors_mean(self) -> None:
        task, model, _ = build()
        sample = helpers.batch(helpers.dataset(task, helpers.pairs(4, seed=1)))
        encoder_out = encode(model.eval(), sample)
        cold = model.sample_latent(encoder_out, 0.0, torch.arange(4))
        torch.testing.assert_close(cold["latent"][0], encoder_out["latent"][0], rtol=0, atol=0)
        torch.testing.assert_close(encoder_out["latent"][0], model.latent.prior(encoder_out).mean)

    @pytest.mark.parametrize("left_pad_source", [False, True])
    def test_a_sample_is_that_of_its_number_in_any_batch(self, left_pad_source: bool) -> None:
        task, model, _ = build(left_pad_source=left_pad_source)
        data = helpers.dataset(task, helpers.pairs(5, seed=1), left_pad_source)
        sample = helpers.batch(data)
        encoder_out = encode(model.eval(), sample)
        seeds = torch.tensor([11, 5, 3, 900, 2])
        together = model.sample_latent(encoder_out, 0.7, seeds)["latent"][0]
        padding = encoder_out["encoder_padding_mask"][0]
        for row, sentence in enumerate(sample["id"].tolist()):
            alone = model.sample_latent(encode(model, helpers.batch(data, [sentence])), 0.7, seeds[row : row + 1])
            torch.testing.assert_close(together[row][~padding[row]], alone["latent"][0][0], rtol=1e-4, atol=1e-5)

    def test_samples_spread_by_scale_and_temperature(self) -> None:
        task, model, _ = build()
        encoder_out = encode(model.eval(), helpers.batch(helpers.dataset(task, helpers.pairs(1, seed=1))))
        many = model.encoder.reorder_encoder_out(encoder_out, torch.zeros(4000, dtype=torch.int64))
        prior = model.latent.prior(encoder_out)
        drawn = model.sample_latent(many, 0.5, torch.arange(4000))["latent"][0]
        torch.testing.assert_close(drawn.mean(0), prior.mean[0], rtol=0, atol=0.05)
        torch.testing.assert_close(drawn.std(0), 0.5 * prior.scale[0], rtol=0.06, atol=0)

    @pytest.mark.parametrize("canvas", [{}, CTC])
    def test_a_sample_survives_reordering_and_changes_what_the_decoder_says(self, canvas: dict[str, Any]) -> None:
        task, model, _ = build(**canvas, init="xavier")
        torch.nn.init.normal_(model.latent.to_states.weight)
        encoder_out = encode(model.eval(), helpers.batch(helpers.dataset(task, helpers.pairs(3, seed=1))))
        drawn = model.sample_latent(encoder_out, 1.0, torch.arange(3))
        order = torch.tensor([2, 0, 0, 1])
        lengths, slots = torch.tensor([4, 2, 5]), torch.full((3, 5), task.mask_idx)
        logits = model.decode_canvas(slots, lengths, drawn)
        again = model.decode_canvas(slots[order], lengths[order], model.encoder.reorder_encoder_out(drawn, order))
        torch.testing.assert_close(again, logits[order])
        assert (logits - model.decode_canvas(slots, lengths, encoder_out)).abs().max() > 0.01
        if not canvas:  # the length is that of the source alone
            assert torch.equal(model.length_logits(drawn), model.length_logits(encoder_out))

    def test_a_model_without_it_says_so(self) -> None:
        model = helpers.model(helpers.task())
        with pytest.raises(ValueError, match="no latent variable"):
            model.sample_latent({}, 1.0, torch.arange(1))


def test_validation_is_the_same_at_every_update_and_has_no_free_bits() -> None:
    task, model, criterion = build(free_bits="100")
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(4, seed=1)))

    def log(update: int, training: bool) -> dict[str, Any]:
        model.train(training).set_num_updates(update)
        entries: dict[str, Any] = criterion(model, sample)[2]
        return entries

    assert log(1, False) == log(9, False)
    assert float(log(1, False)["latent_cost"] / log(1, False)["sample_size"]) < 1
    assert float(log(1, True)["latent_cost"] / log(1, True)["sample_size"]) == pytest.approx(100)
    assert log(1, True)["loss"] != log(2, True)["loss"]


def test_z_says_what_the_source_does_not() -> None:
    """Two targets for one source: a plain model gives each token half of the time, at 1 bit, and mixes them."""
    task = helpers.task()
    data = helpers.dataset(task, [([0], [1, 1]), ([0], [2, 2])] * 4)
    sample = helpers.batch(data)
    criterion = helpers.criterion("nat_cross_entropy", task, length_loss_weight=0.0)
    model = helpers.model(
        task, masking="full", copying="soft", init="xavier", latent_dim=2, latent_layers=1, free_bits="0.5"
    ).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for update in range(100):
        model.set_num_updates(update)
        loss, size, log = criterion(model, sample)
        optimizer.zero_grad()
        (loss / size).backward()
        optimizer.step()
    assert float(log["word_loss"] / size) / math.log(2) < 0.3
    model.eval()
    encoder_out = encode(model, helpers.batch(data, [0]))
    many = model.encoder.reorder_encoder_out(encoder_out, torch.zeros(200, dtype=torch.int64))
    many = model.sample_latent(many, 1.0, torch.arange(200))
    slots, lengths = torch.full((200, 2), task.mask_idx), torch.full((200,), 2)
    tokens, _ = model.fill_slots(slots, lengths, many, OutputSymbols(task.target_dictionary))
    targets = target_batch(sample["target"], task.target_dictionary.pad()).tokens
    said = [sum(tokens.eq(target).all(1).tolist()) for target in (targets[0], targets[1])]
    assert sum(said) > 180
    assert min(said) > 50


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("nat_axe", {"masking": "full", "copying": "soft"}),
        ("nat_ctc", {"masking": "glancing", "glancing_count": "poisson"}),
    ],
)
def test_learns_a_handful_of_pairs(name: str, options: dict[str, Any]) -> None:
    task, model, criterion = build(name, encoder_embed_dim=32, decoder_embed_dim=32, free_bits="0.5:0@60", **options)
    pairs = fitting(4, seed=3, longest=4) if name == "nat_ctc" else helpers.pairs(5, seed=3, shortest=3)
    data = helpers.dataset(task, pairs)
    sample = helpers.batch(data)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for update in range(120):
        model.train().set_num_updates(update)
        loss, size, _ = criterion(model, sample)
        optimizer.zero_grad()
        (loss / size).backward()
        optimizer.step()
    best = task.build_generator([model], helpers.namespace()).generate([model], sample)
    for row, sentence in enumerate(sample["id"].tolist()):
        assert best[row][0]["tokens"].tolist() == data.tgt[sentence][:-1].tolist()


def test_logs_exact_sums() -> None:
    from fairseq.logging import metrics

    task, model, criterion = build(free_bits="0")
    logs = [criterion(model, helpers.batch(helpers.dataset(task, helpers.pairs(6, seed=s))))[2] for s in (1, 2)]
    with metrics.aggregate() as aggregated:
        for log in logs:
            type(criterion).reduce_metrics([log])
    values = aggregated.get_smoothed_values()

    def total(key: str) -> float:
        return sum(float(log[key]) for log in logs)

    positions = total("latent_positions")
    per_dimension = [total(f"latent_kl_{index}") / positions for index in range(4)]
    assert values["kl"] == pytest.approx(sum(per_dimension) / math.log(2), abs=1e-3)
    assert values["kl_loss"] == pytest.approx(total("latent_cost") / total("sample_size") / math.log(2), abs=1e-3)
    mean = total("latent_means") / positions / 4
    assert values["latent_mean"] == pytest.approx(mean, abs=1e-3)
    assert values["latent_std"] == pytest.approx((total("latent_squares") / positions / 4 - mean**2) ** 0.5, abs=1e-3)
    assert values["active_dimensions"] == sum(value > 0.01 for value in per_dimension)
    assert not any(key.startswith("_") or key.startswith("latent_kl") for key in values)
    assert values["loss"] == pytest.approx(total("loss") / total("sample_size") / math.log(2), abs=1e-3)


@pytest.mark.parametrize("training", [False, True])
def test_the_loss_is_what_its_terms_come_to(training: bool) -> None:
    """A sentence's length and KL are weighted by the words that it pays for, each with its flag's weight."""
    task, model, _ = build(free_bits="0", dropout=0.0, masking="full")
    criterion = helpers.criterion("nat_cross_entropy", task, kl_weight=0.7, length_loss_weight=0.3)
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(6, seed=1)))
    model.train(training)
    targets, output = criterion.predict(model, sample)
    words = criterion.word_loss(output, targets)
    lengths = torch.nn.functional.cross_entropy(output.length_logits, output.length_classes, reduction="none")
    per_sentence = 0.3 * lengths + 0.7 * output.latent.costs
    assert len(set(words.units.tolist())) > 2
    assert bool((per_sentence > 0.01).all())
    expected = (words.costs + words.units * per_sentence).sum()
    torch.testing.assert_close(criterion(model, sample)[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("update", "paid"), [(0, 50.0), (10, 30.0), (20, 10.0), (90, 10.0)])
def test_free_bits_follow_their_schedule(update: int, paid: float) -> None:
    task, model, criterion = build(free_bits="50:10@20")
    model.train().set_num_updates(update)
    _, output = criterion.predict(model, helpers.batch(helpers.dataset(task, helpers.pairs(4, seed=1))))
    torch.testing.assert_close(output.latent.costs, torch.full((4,), paid))


def test_the_posterior_of_a_word_reads_the_whole_source() -> None:
    task, model, _ = build(init="xavier")
    sample = helpers.batch(helpers.dataset(task, [([1, 2, 3, 4], [5, 6, 7])]))
    source = sample["net_input"]["src_tokens"]
    other = source.clone()
    other[0, -2] = source[0, 0]  # the last word
    target = sample["target"]
    first, changed = (model.eval().latent.posterior(each, target).mean[0, 0] for each in (source, other))
    assert float((first - changed).abs().max()) > 1e-4


def test_soft_copies_are_of_states_that_hold_z() -> None:
    """Gu & Kong 2021, appendix A: z is added to the encoder's output, which SoftCopy then interpolates."""
    task, model, _ = build("nat_ctc")
    torch.nn.init.normal_(model.latent.to_states.weight)
    copied = []
    model.slot_copy.register_forward_pre_hook(lambda _, arguments: copied.append(arguments[0]))
    encoder_out = encode(model.eval(), helpers.batch(helpers.dataset(task, fitting(3, seed=1))))
    drawn = model.sample_latent(encoder_out, 1.0, torch.arange(3))
    lengths = model.upsampled_lengths(drawn)
    model.decode_canvas(torch.full((3, int(lengths.max())), task.mask_idx), lengths, drawn)
    [seen] = (each["encoder_out"][0] for each in copied)
    torch.testing.assert_close(seen, model.latent.add_to(drawn)["encoder_out"][0])
    assert float((seen - encoder_out["encoder_out"][0]).abs().max()) > 0.01


@pytest.mark.parametrize("name", ["nat_cross_entropy", "nat_ctc"])
def test_runs_in_bfloat16(name: str) -> None:
    task, model, criterion = build(name)
    sample = helpers.batch(helpers.dataset(task, fitting(4, seed=1)))
    loss, _, _ = criterion(model.to(torch.bfloat16).train(), sample)
    loss.backward()
    assert bool(torch.isfinite(loss))
    assert len(task.build_generator([model], helpers.namespace()).generate([model.eval()], sample)) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent_dim": -1}, "--latent-dim must be 1 or more"),
        ({"latent_layers": 0}, "--latent-layers must be at least 1"),
        ({"free_bits": "much"}, "--free-bits 'much' is no schedule"),
    ],
)
def test_refuses_what_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**options)


def test_refuses_a_weight_below_zero() -> None:
    with pytest.raises(UserError, match="--kl-weight must be 0 or more"):
        helpers.criterion("nat_cross_entropy", helpers.task(), kl_weight=-1.0)
