"""A masked source and 80/10/10 on either side: in training alone, learned from, and nothing else is changed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nat_plugin.errors import UserError
from nat_plugin.models.presets import IWSLT_SMALL, JM_NAT, PRESETS
from nat_plugin.padding import length_mask
from nat_plugin.symbols import MASK, word_ids
from scripts.lib.config import compose_run
from tests import helpers
from tests.criterions.test_nat_ngram import output_of


def build(**options: Any) -> tuple[Any, Any, dict[str, Any]]:
    """A task, a model in training and a batch."""
    task = helpers.task(left_pad_source=options.pop("left_pad_source", False))
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(40, seed=2), task.cfg.left_pad_source))
    return task, helpers.model(task, **{**JM_NAT, **options}).train(), sample


def what_is_read(model: Any, sample: dict[str, Any]) -> tuple[Tensor, Tensor, Any]:
    """What the encoder and the decoder read in a pass, and the output."""
    seen: dict[str, Tensor] = {}
    hooks = [
        getattr(model, side).register_forward_pre_hook(lambda _, args, side=side: seen.update({side: args[0]}))
        for side in ("encoder", "decoder")
    ]
    output, _ = output_of(model, sample)
    for hook in hooks:
        hook.remove()
    return seen["encoder"], seen["decoder"][:, :-1], output


@pytest.mark.parametrize("left_pad_source", [False, True])
def test_the_encoder_reads_a_masked_source_and_says_what_stood_there(left_pad_source: bool) -> None:
    task, model, sample = build(encoder_mask_prob=0.5, left_pad_source=left_pad_source)
    dictionary = task.source_dictionary
    source = sample["net_input"]["src_tokens"]
    read, _, output = what_is_read(model, sample)
    changed = read.ne(source)
    special = sum(source.eq(symbol) for symbol in (dictionary.bos(), dictionary.pad(), dictionary.eos())).bool()
    assert not bool((changed & special).any())
    assert set(read[changed].tolist()) <= {dictionary.index(MASK), *word_ids(dictionary)}
    said = output.encoder_prediction
    assert bool((torch.bincount(said.sentences, minlength=len(source)) >= changed.sum(1)).all())
    assert int(changed.sum()) < said.tokens.numel()  # some stay as they are
    real = (~special).sum().item()
    assert said.tokens.numel() / real == pytest.approx(0.5, abs=0.1)
    assert read.eq(dictionary.index(MASK)).sum().item() / said.tokens.numel() == pytest.approx(0.8, abs=0.15)
    # all that was changed is among what is to be said, in order
    counted = sorted(zip(said.sentences.tolist(), said.tokens.tolist(), strict=True))
    rows = changed.nonzero()[:, 0].tolist()
    for pair in zip(rows, source[changed].tolist(), strict=True):
        counted.remove(pair)
    states = model.encode(read, sample["net_input"]["src_lengths"])["encoder_out"][0].transpose(0, 1)
    words = torch.nn.functional.linear(states, model.encoder.embed_tokens.weight)[changed]
    for row in words:
        assert bool((said.logits - row).abs().max(1).values.min() < 1e-4)


def test_the_decoder_reads_words_in_some_slots_that_it_is_to_predict() -> None:
    task, model, sample = build()
    _, slots, output = what_is_read(model, sample)
    targets = sample["target"][:, :-1]
    real = length_mask(output.lengths, slots.size(1))
    assert torch.equal(slots[real & ~output.masked], targets[real & ~output.masked])
    inside, wanted = slots[output.masked], targets[output.masked]
    hidden, kept = inside.eq(task.mask_idx), inside.eq(wanted)
    number = inside.numel()
    assert hidden.sum().item() / number == pytest.approx(0.8, abs=0.1)
    assert kept.sum().item() / number == pytest.approx(0.1 + 0.1 / helpers.WORDS, abs=0.08)
    assert set(inside[~hidden & ~kept].tolist()) <= set(word_ids(task.target_dictionary))
    assert 0 < int((~hidden & ~kept).sum()) < number / 4


def test_validation_and_generation_read_the_source_as_it_is() -> None:
    task, model, sample = build(encoder_mask_prob=1.0)
    read, slots, output = what_is_read(model.eval(), sample)
    assert torch.equal(read, sample["net_input"]["src_tokens"])
    assert output.encoder_prediction is None
    assert bool(slots[output.masked].eq(task.mask_idx).all())
    first = output_of(model, sample)[0].masked
    model.set_num_updates(9)
    assert torch.equal(output_of(model, sample)[0].masked, first)
    plain = helpers.model(task, positional_attention=1).eval()
    plain.load_state_dict(model.state_dict())  # with shared embeddings it has no parameter more
    options = helpers.namespace(iterations=3)
    both = [task.build_generator([one], options).generate([one], sample) for one in (model, plain)]
    assert [best[0]["tokens"].tolist() for best in both[0]] == [best[0]["tokens"].tolist() for best in both[1]]


def test_what_is_masked_changes_with_the_update_alone() -> None:
    _, model, sample = build(encoder_mask_prob=0.5)
    first = what_is_read(model, sample)
    torch.manual_seed(99)
    again = what_is_read(model, sample)
    model.set_num_updates(1)
    later = what_is_read(model, sample)
    for side in (0, 1):
        assert torch.equal(first[side], again[side])
        assert not torch.equal(first[side], later[side])


@pytest.mark.parametrize("share_embeddings", ["all", "decoder", "none"])
def test_the_prediction_layer_is_the_embedding_or_its_own(share_embeddings: str) -> None:
    task, model, sample = build(share_embeddings=share_embeddings)
    own = "encoder.prediction_layer.weight"
    assert (own in model.state_dict()) == (share_embeddings == "none")
    assert own not in helpers.model(task, share_embeddings="none").state_dict()
    loss, _, _ = helpers.criterion("nat_ngram", task)(model, sample)
    loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    if share_embeddings == "none":
        assert bool(model.encoder.prediction_layer.weight.grad.any())
        model.eval().prepare_for_inference_(None)
        assert model.encoder.prediction_layer is None


def test_a_batch_in_which_nothing_is_chosen_still_reaches_every_parameter() -> None:
    """Or pytorch_ddp would hang on the unused ones."""
    task = helpers.task()
    model = helpers.model(task, share_embeddings="none", encoder_mask_prob=1e-9).train()
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(3)))
    loss, _, log = helpers.criterion("nat_cross_entropy", task)(model, sample)
    loss.backward()
    assert float(log["encoder_tokens"]) == float(log["encoder_loss"]) == 0
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("options", [{}, {"share_embeddings": "none", "decoder_mask_span": 3}])
def test_learns_a_handful_of_pairs_saved_exactly(options: dict[str, Any], tmp_path: Path) -> None:
    task = helpers.task()
    wide = {**JM_NAT, "encoder_embed_dim": 32, "decoder_embed_dim": 32, "encoder_mask_prob": 0.2, **options}
    model = helpers.model(task, **wide).train()
    data = helpers.dataset(task, helpers.pairs(5, seed=3, shortest=3))
    sample = helpers.batch(data)
    criterion = helpers.criterion("nat_ngram", task, encoder_loss_factor=1.0)  # .01 takes longer
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    logs = []
    for update in range(200):
        model.set_num_updates(update)
        loss, size, log = criterion(model, sample)
        optimizer.zero_grad()
        (loss / size).backward()
        optimizer.step()
        logs.append(log)
    spans = [slice(0, 20), slice(-20, None)]
    for term, unit in (("ngram_loss", "ngram_windows"), ("encoder_loss", "encoder_tokens")):
        early, late = (sum(log[term] for log in logs[span]) / sum(log[unit] for log in logs[span]) for span in spans)
        assert late < early / 2, term
    torch.save(model.state_dict(), tmp_path / "model.pt")
    restored = helpers.model(task, **wide)
    restored.load_state_dict(torch.load(tmp_path / "model.pt"))
    model.eval()
    restored.eval()
    assert torch.equal(criterion(model, sample)[0], criterion(restored, sample)[0])
    best = task.build_generator([restored], helpers.namespace()).generate([restored], sample)
    for row, sentence in enumerate(sample["id"].tolist()):
        assert best[row][0]["tokens"].tolist() == data.tgt[sentence][:-1].tolist()


def test_a_copy_draws_what_the_model_draws() -> None:
    """Its random words belong to the module, wherever that is copied to."""
    _, model, sample = build(encoder_mask_prob=0.5)
    twin = copy.deepcopy(model)
    assert twin.canvas_maker.noise is twin.decoder_noise
    for one, other in zip(what_is_read(model, sample)[:2], what_is_read(twin, sample)[:2], strict=True):
        assert torch.equal(one, other)


def test_runs_in_bfloat16() -> None:
    task, model, sample = build(share_embeddings="none")
    loss, _, _ = helpers.criterion("nat_ngram", task, label_smoothing=0.1)(model.to(torch.bfloat16), sample)
    loss.backward()
    assert bool(torch.isfinite(loss))
    assert model.decoder_noise.words.dtype == torch.int64


def test_the_small_model_of_the_paper_is_the_size_of_the_configuration() -> None:
    flags = compose_run(["data=generated", "method=jm_nat", "size=iwslt_small", "machine=cpu"])["fairseq"]
    assert {key: flags[key] for key in IWSLT_SMALL} == IWSLT_SMALL
    assert PRESETS["jm_nat_iwslt_small"] == {**IWSLT_SMALL, **JM_NAT}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder_mask_prob": 1.5}, "--encoder-mask-prob is a share of the source tokens, 0 to 1, not 1.5"),
        ({"encoder_mask_prob": -0.1}, "--encoder-mask-prob is a share"),
        ({"encoder_mask_prob": float("nan")}, "--encoder-mask-prob is a share"),
        ({"decoder_mask_span": 0}, "--decoder-mask-span must be at least 1"),
        ({"masking": "full", "decoder_mask_fill": "mask"}, "--decoder-mask-span 2 has no meaning with --masking full"),
        ({"masking": "full", "decoder_mask_span": 1}, "--decoder-mask-fill bert would show tokens"),
    ],
)
def test_refuses_what_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**options)
