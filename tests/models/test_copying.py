"""Copying inside the model: what a slot shows wins, padding does not matter, and it learns."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from nat_plugin.errors import UserError
from tests import helpers
from tests.criterions.test_nat_ctc import fitting

CTC = {"masking": "full", "upsample_scale": 3.0}
COPYING = ["none", "uniform", "soft", "hard"]


def decoder_input(model: Any, slots: torch.Tensor, lengths: torch.Tensor, encoder_out: dict[str, Any]) -> torch.Tensor:
    """What the decoder's first layer gets, [B, m+1, D]."""
    seen: list[torch.Tensor] = []
    hook = model.decoder.dropout_module.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    model.decode_canvas(slots, lengths, encoder_out)
    hook.remove()
    return seen[0]


@pytest.mark.parametrize("copying", COPYING[1:])
def test_a_slot_that_shows_a_token_has_its_embedding_and_a_masked_one_its_copy(copying: str) -> None:
    task = helpers.task()
    model = helpers.model(task, copying=copying, positions="sinusoidal").eval()
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(3, seed=5, shortest=4)))
    encoder_out = model.encode(sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"])
    lengths = torch.tensor([5, 3, 4])
    slots = torch.tensor([[5, 6, 0, 0, 7], [0, 8, 0, 1, 1], [9, 0, 0, 5, 1]])
    slots = torch.where(slots == 0, task.mask_idx, slots)
    masked = slots == task.mask_idx
    copies = model.slot_copy(encoder_out, lengths, 5)
    model.decoder.embed_positions.weights.zero_()
    got = decoder_input(model, slots, lengths, encoder_out)[:, :-1]
    shown = ~masked & (torch.arange(5) < lengths.unsqueeze(1))
    embedded = model.decoder.embed_scale * model.decoder.embed_tokens(slots)
    torch.testing.assert_close(got[shown], embedded[shown], rtol=0, atol=0)
    torch.testing.assert_close(got[masked], copies[masked], rtol=0, atol=0)
    assert bool((got[0, 2] != got[0, 3]).any()), "each masked slot has a copy of its own"


@pytest.mark.parametrize("left_pad_source", [False, True])
def test_hard_copies_are_embeddings_of_source_words(left_pad_source: bool) -> None:
    task = helpers.task(left_pad_source=left_pad_source)
    model = helpers.model(task, copying="hard", share_embeddings="none").eval()
    pairs = helpers.pairs(5, seed=5)
    sample = helpers.batch(helpers.dataset(task, pairs, left_pad_source))
    encoder_out = model.encode(sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"])
    lengths = torch.tensor([7, 1, 4, 12, 3])
    copies = model.slot_copy(encoder_out, lengths, 12)
    first, embedding = task.source_dictionary.index("w0"), model.encoder.embed_tokens.weight
    for row, sentence in enumerate(sample["id"].tolist()):
        words, slots = pairs[sentence][0], int(lengths[row])
        for slot in range(slots):
            word = words[int((slot + 0.5) * len(words) / slots)]
            # √D = 4, as for the tokens that are shown
            assert torch.equal(copies[row, slot], embedding[first + word] * 4)


def test_a_canvas_without_masks_does_not_see_the_copies() -> None:
    task = helpers.task()
    model = helpers.model(task, copying="soft").eval()
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(3, seed=5)))
    encoder_out = model.encode(sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"])
    lengths, slots = torch.tensor([4, 2, 3]), torch.randint(4, 12, (3, 4))
    with_copies = model.decode_canvas(slots, lengths, encoder_out)
    model.slot_copy = None
    torch.testing.assert_close(with_copies, model.decode_canvas(slots, lengths, encoder_out), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("canvas", "copying", "left_pad_source"),
    [
        ({}, "uniform", False),
        ({}, "soft", True),
        (CTC, "uniform", True),
        (CTC, "soft", False),
        ({"masking": "full"}, "hard", True),
        (CTC, "hard", False),
    ],
)
def test_learns_and_translates_alike_in_any_batch(canvas: dict[str, Any], copying: str, left_pad_source: bool) -> None:
    task = helpers.task(left_pad_source=left_pad_source)
    model = helpers.model(task, encoder_embed_dim=32, decoder_embed_dim=32, copying=copying, **canvas)
    pairs = fitting(4, seed=3, longest=4) if model.upsamples else helpers.pairs(6, seed=3, shortest=3)
    data = helpers.dataset(task, pairs, left_pad_source)
    sample = helpers.batch(data)
    criterion = helpers.criterion("nat_ctc" if model.upsamples else "nat_cross_entropy", task)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for update in range(120):
        model.set_num_updates(update)
        loss, size, _ = criterion(model, sample)
        optimizer.zero_grad()
        (loss / size).backward()
        optimizer.step()
    best = task.build_generator([model], helpers.namespace()).generate([model], sample)
    candidates = {} if model.upsamples else {"length_candidates": 2, "iterations": 2}
    generator = task.build_generator([model], helpers.namespace(**candidates))
    together = generator.generate([model], sample)
    for row, sentence in enumerate(sample["id"].tolist()):
        assert best[row][0]["tokens"].tolist() == data.tgt[sentence][:-1].tolist()
        alone = generator.generate([model], helpers.batch(data, [sentence]))[0][0]
        assert together[row][0]["tokens"].tolist() == alone["tokens"].tolist()
        assert together[row][0]["score"] == pytest.approx(alone["score"], abs=1e-4)


@pytest.mark.parametrize("copying", COPYING[1:])
def test_the_side_of_the_padding_does_not_matter(copying: str) -> None:
    task = helpers.task()
    model = helpers.model(task, copying=copying, **CTC).eval()
    pairs = fitting(5, seed=7)
    logits = []
    for left in (False, True):
        sample = helpers.batch(helpers.dataset(task, pairs, left))
        encoder_out = model.encode(sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"])
        lengths = model.upsampled_lengths(encoder_out)
        slots = torch.full((5, int(lengths.max())), task.mask_idx)
        real = torch.arange(slots.size(1)) < lengths.unsqueeze(1)
        logits.append(model.decode_canvas(slots, lengths, encoder_out)[real])
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("left_pad_source", [False, True])
def test_interactive_translates_as_generate_does(left_pad_source: bool) -> None:
    task = helpers.task(left_pad_source=left_pad_source)
    model = helpers.model(task, copying="soft", **CTC).eval()
    data = helpers.dataset(task, fitting(5, seed=7), left_pad_source)
    spoken = task.build_dataset_for_inference(list(data.src), data.src_sizes.tolist())
    generator = task.build_generator([model], helpers.namespace())
    outputs = []
    for each in (data, spoken):
        sample = helpers.batch(each)
        found = zip(sample["id"].tolist(), generator.generate([model], sample), strict=True)
        outputs.append({sentence: best[0]["tokens"].tolist() for sentence, best in found})
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("copying", COPYING)
@pytest.mark.parametrize("canvas", [{}, CTC])
def test_every_parameter_gets_a_gradient(canvas: dict[str, Any], copying: str) -> None:
    """Or pytorch_ddp would hang on the unused ones; SoftCopy's temperature is one of them, unless it is fixed."""
    task = helpers.task()
    model = helpers.model(task, share_embeddings="none", copying=copying, **canvas)
    sample = helpers.batch(helpers.dataset(task, fitting(4, seed=1)))
    loss, _, _ = helpers.criterion("nat_ctc" if canvas else "nat_axe", task)(model, sample)
    loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    temperatures = [name for name, _ in model.named_parameters() if "temperature" in name]
    assert len(temperatures) == (copying == "soft")
    if copying == "soft":
        assert float(model.slot_copy.log_temperature.grad) != 0
        assert float(model.slot_copy.temperature.detach()) == pytest.approx(0.5)
        fixed = helpers.model(task, copying=copying, fixed_soft_copy_temperature=True, soft_copy_temperature=2.0)
        assert not any("temperature" in name for name in fixed.state_dict())
        assert float(fixed.slot_copy.temperature) == pytest.approx(2.0)


@pytest.mark.parametrize("copying", COPYING)
def test_runs_in_bfloat16(copying: str) -> None:
    task = helpers.task()
    model = helpers.model(task, copying=copying, **CTC).to(torch.bfloat16)
    sample = helpers.batch(helpers.dataset(task, fitting(4, seed=1)))
    loss, _, _ = helpers.criterion("nat_ctc", task)(model, sample)
    loss.backward()
    assert bool(torch.isfinite(loss))
    assert len(task.build_generator([model], helpers.namespace()).generate([model.eval()], sample)) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"copying": "soft", "encoder_embed_dim": 32, "share_embeddings": "decoder"}, "--copying soft puts encoder"),
        ({"copying": "hard", "encoder_embed_dim": 32, "share_embeddings": "none"}, "--copying hard puts source embed"),
        ({"copying": "soft", "soft_copy_temperature": 0.0}, "--soft-copy-temperature must be above 0"),
    ],
)
def test_refuses_what_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        helpers.model(helpers.task(), **options)
