"""The same on CUDA as on the CPU. Skipped where there is no GPU."""

from __future__ import annotations

import pytest
import torch

from nat_plugin.alignments import axe_loss, axe_loss_and_alignment, label_smoothed_cross_entropy, raise_pending
from nat_plugin.analysis.total_correlation import sentence_costs
from nat_plugin.canvas.masking import uniform_mask
from nat_plugin.models.presets import JM_NAT
from tests import helpers
from tests.models import test_target_choice as target_choice

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]


def test_nan_in_the_last_batch_is_reported_where_one_waits_for_it() -> None:
    logits = torch.randn(2, 3, 50, device="cuda")
    logits[1, 2, 7] = float("nan")
    targets, lengths = torch.zeros(2, 3, dtype=torch.int64, device="cuda"), torch.full((2,), 3, device="cuda")
    axe_loss(logits, targets, lengths, lengths, blank_idx=3)
    with pytest.raises(FloatingPointError, match="the logits of sentence 1 of an earlier batch"):
        raise_pending()
    raise_pending()


def test_axe_and_cross_entropy() -> None:
    logits, targets = torch.randn(6, 9, 50), torch.randint(0, 50, (6, 9))
    lengths = torch.tensor([9, 8, 5, 1, 0, 3])
    results = []
    for device in ("cpu", "cuda"):
        leaf = logits.to(device, copy=True).requires_grad_()
        n = lengths.to(device)
        costs, alignment = axe_loss_and_alignment(
            leaf, targets.to(device), n, n, blank_idx=3, skip_target_penalty=2.0, label_smoothing=0.1
        )
        total = costs.sum() + label_smoothed_cross_entropy(leaf, targets.to(device), label_smoothing=0.1)
        total.backward()
        assert leaf.grad is not None
        results.append((costs.detach().cpu(), alignment.operators.cpu(), leaf.grad.cpu()))
    for on_cpu, on_gpu in zip(*results, strict=True):
        torch.testing.assert_close(on_cpu, on_gpu, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_sentences_cost_the_same_on_both_devices(dtype: torch.dtype) -> None:
    logits, tokens = torch.randn(6, 9, 50).to(dtype), torch.randint(4, 50, (6, 9))
    lengths, never = torch.tensor([9, 8, 5, 1, 0, 3]), torch.arange(4)
    on_cpu = sentence_costs(logits, tokens, lengths, never)
    on_gpu = sentence_costs(logits.cuda(), tokens.cuda(), lengths.cuda(), never.cuda())
    torch.testing.assert_close(on_cpu, on_gpu.cpu(), rtol=1e-5, atol=1e-5)


def test_masks_are_the_same_on_both_devices() -> None:
    lengths, ids = torch.randint(1, 20, (100,)), torch.arange(100)
    for span in (1, 2, 3):
        on_cpu = uniform_mask(lengths, 20, seed=1, update=3, sentence_ids=ids, span=span)
        on_gpu = uniform_mask(lengths.cuda(), 20, seed=1, update=3, sentence_ids=ids.cuda(), span=span)
        assert torch.equal(on_cpu, on_gpu.cpu())


@pytest.mark.parametrize("share_embeddings", ["all", "none"])
def test_jm_nat_is_the_same_on_both_devices(share_embeddings: str) -> None:
    task = helpers.task()
    model = helpers.model(task, **JM_NAT, share_embeddings=share_embeddings).double().train()
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(12)))
    criterion = helpers.criterion("nat_ngram", task, encoder_loss_factor=1.0, ngram_loss_factor=1.0)
    on_cpu, _, log = criterion(model, sample)
    assert float(log["encoder_tokens"]) > 0
    on_gpu = torch.utils._pytree.tree_map(lambda part: part.cuda() if torch.is_tensor(part) else part, sample)
    on_cuda, _, _ = criterion(model.cuda(), on_gpu)
    torch.testing.assert_close(on_cpu, on_cuda.cpu(), rtol=1e-7, atol=0)
    on_cuda.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["nat_cross_entropy", "nat_axe"])
def test_trains_and_translates(name: str, dtype: torch.dtype) -> None:
    task = helpers.task()
    model = helpers.model(task).to("cuda", dtype)
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(8)))
    sample = torch.utils._pytree.tree_map(lambda part: part.cuda() if torch.is_tensor(part) else part, sample)
    loss, size, _ = helpers.criterion(name, task, label_smoothing=0.1)(model, sample)
    (loss / size).backward()
    assert torch.isfinite(loss)
    generator = task.build_generator([model], helpers.namespace(length_candidates=3, iterations=4))
    assert len(generator.generate([model.eval()], sample)) == 8


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_both_passes_of_glancing_have_one_dropout(dtype: torch.dtype) -> None:
    """With nothing revealed the second pass is the first one again, and later random numbers are those of one pass."""
    task = helpers.task()
    options = {"upsample_scale": 3.0, "copying": "soft", "latent_dim": 4, "latent_layers": 1, "dropout": 0.5}
    sample = helpers.batch(helpers.dataset(task, [(source + target, target) for source, target in helpers.pairs(6)]))
    sample = torch.utils._pytree.tree_map(lambda part: part.cuda() if torch.is_tensor(part) else part, sample)
    criterion = helpers.criterion("nat_ctc", task)
    losses, states = [], []
    weights = helpers.model(task, masking="full", **options).state_dict()
    for masking in ("glancing", "full"):
        model = helpers.model(task, masking=masking, glancing_ratio="0", **options).to("cuda", dtype).train()
        model.load_state_dict(weights)
        torch.manual_seed(5)
        losses.append(criterion(model, sample)[0])
        states.append(torch.cuda.get_rng_state())
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-6, atol=0)
    assert torch.equal(*states)


@pytest.mark.parametrize("name", ["nat_cross_entropy", "nat_axe", "nat_oaxe", "nat_ctc"])
def test_glancing_and_the_latent_variable_are_the_same_on_both_devices(name: str) -> None:
    task = helpers.task()
    options = {
        "masking": "glancing",
        "glancing_count": "poisson",
        "copying": "soft",
        "latent_dim": 4,
        "latent_layers": 1,
    }
    model = helpers.model(task, **options, **({"upsample_scale": 3.0} if name == "nat_ctc" else {})).double().train()
    sample = helpers.batch(helpers.dataset(task, [(source + target, target) for source, target in helpers.pairs(6)]))
    criterion = helpers.criterion(name, task)
    on_cpu, _, _ = criterion(model, sample)
    on_gpu = torch.utils._pytree.tree_map(lambda part: part.cuda() if torch.is_tensor(part) else part, sample)
    on_cuda, _, _ = criterion(model.cuda(), on_gpu)
    torch.testing.assert_close(on_cpu, on_cuda.cpu(), rtol=1e-7, atol=0)


@pytest.mark.parametrize("masking", ["full", "glancing"])
def test_the_choice_among_targets_is_the_same_on_both_devices(masking: str) -> None:
    task = helpers.task()
    model = helpers.varied_model(task, masking=masking, copying="soft").double().train()
    sample = target_choice.batch(task, regulariser=True)
    criterion = helpers.criterion("nat_cross_entropy", task)
    on_gpu = torch.utils._pytree.tree_map(lambda part: part.cuda() if torch.is_tensor(part) else part, sample)
    on_cpu, chosen = criterion(model, sample)[0], criterion.predict(model, sample)[1].chosen
    on_cuda, found = criterion(model.cuda(), on_gpu)[0], criterion.predict(model, on_gpu)[1].chosen
    assert chosen.choice.tolist() == found.choice.tolist()
    torch.testing.assert_close(on_cpu, on_cuda.cpu(), rtol=1e-7, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_what_scored_the_chosen_target_has_the_dropout_of_the_second_pass(dtype: torch.dtype) -> None:
    task = helpers.task()
    model = helpers.varied_model(task, masking="glancing", glancing_ratio="0", dropout=0.5).to("cuda", dtype).train()
    sample = target_choice.batch(task)
    on_gpu = torch.utils._pytree.tree_map(lambda part: part.cuda() if torch.is_tensor(part) else part, sample)
    output = helpers.criterion("nat_cross_entropy", task).predict(model, on_gpu)[1]
    scored = model.decoder.output_layer(output.chosen.first_pass.states)
    real = torch.arange(8, device="cuda") < output.lengths.unsqueeze(1)
    torch.testing.assert_close(output.logits[real], scored[real], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("search", ["flashlight", "torch"])
def test_beam_search_finds_the_same_translations(search: str) -> None:
    if search == "flashlight":
        pytest.importorskip("flashlight.lib.text")
    task = helpers.task(ctc_beam=5, ctc_search=search, token_bonus=1.0)
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(8)))
    on_gpu = torch.utils._pytree.tree_map(lambda part: part.cuda() if torch.is_tensor(part) else part, sample)
    lists = []
    for device, batch in (("cpu", sample), ("cuda", on_gpu)):
        model = helpers.varied_model(task, masking="full", upsample_scale=2.0).to(device)
        model.prepare_for_inference_(None)
        generator = task.build_generator([model], helpers.namespace(nbest=5))
        lists.append(generator.generate([model], batch))
    for expected, found in zip(*lists, strict=True):
        assert [entry["tokens"].tolist() for entry in found] == [entry["tokens"].tolist() for entry in expected]
        for one, other in zip(found, expected, strict=True):
            assert one["tokens"].device.type == "cpu"
            assert one["score"] == pytest.approx(other["score"], abs=1e-3)
            torch.testing.assert_close(one["positional_scores"], other["positional_scores"], rtol=1e-3, atol=1e-3)
