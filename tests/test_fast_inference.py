"""What is computed faster is the same: states, tokens and scores, of our models and of autoregressive ones."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from fairseq.modules import MultiheadAttention
from torch import nn

from nat_plugin import fast_inference
from nat_plugin.fast_inference import InferenceAttention, PackedLinear, speed_up_
from tests import helpers
from tests.decoding.test_reranking import plain_dictionary, teacher_model

LAYERS = {"encoder_layers": 2, "decoder_layers": 2}
CTC = {"masking": "full", "upsample_scale": 2.5}


def kinds(module: nn.Module) -> set[type]:
    return {type(part) for part in module.modules()}


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("left_pad_source", [False, True])
@pytest.mark.parametrize(
    ("options", "decoding"),
    [
        (CTC, {}),
        ({"encoder_normalize_before": True, "decoder_normalize_before": True}, {"length_candidates": 3, "nbest": 3}),
        ({"share_embeddings": "all"}, {"iterations": 4}),
        ({**CTC, "positional_attention": 1}, {}),
        (
            {"positional_attention": 1, "decoder_normalize_before": True},
            {"iterations": 4, "remask_neighbours": True, "length_candidates": 2},
        ),
    ],
)
def test_translations_are_equal_token_for_token(
    options: dict[str, Any],
    decoding: dict[str, Any],
    left_pad_source: bool,
    packs: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not packs:
        monkeypatch.setattr(fast_inference, "_can_pack", lambda side: False)
    task = helpers.task(left_pad_source=left_pad_source)
    model = helpers.varied_model(task, **LAYERS, **options)
    fast = copy.deepcopy(model)
    fast.prepare_for_inference_(None)
    found = {kind for side in (fast.encoder, fast.decoder) for kind in kinds(side.layers)}
    assert InferenceAttention in found
    assert not any(issubclass(kind, MultiheadAttention) for kind in found)
    assert (PackedLinear in found) == (packs and fast_inference._can_pack(model))
    assert (nn.Linear in found) == (not packs)
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(40, seed=6), left_pad_source))
    generator = task.build_generator([model], helpers.namespace(**decoding))
    slow, quick = (generator.generate([each], sample) for each in (model, fast))
    for before, after in zip(slow, quick, strict=True):
        assert [entry["tokens"].tolist() for entry in before] == [entry["tokens"].tolist() for entry in after]
        assert [entry["score"] for entry in before] == pytest.approx([entry["score"] for entry in after], abs=1e-5)
    assert len({tuple(entry["tokens"].tolist()) for found in slow for entry in found}) > 8


def test_an_autoregressive_model_has_the_same_logits() -> None:
    dictionary = plain_dictionary()
    model = teacher_model(dictionary)
    fast = copy.deepcopy(model)
    for side in (fast.encoder, fast.decoder):
        speed_up_(side)
    pad, eos = dictionary.pad(), dictionary.eos()
    source = torch.tensor([[5, 6, 7, eos], [pad, pad, 9, eos]])
    inputs = torch.tensor([[eos, 5, 6, 7], [eos, 8, pad, pad]])
    with torch.no_grad():
        expected, found = (each(source, torch.tensor([4, 2]), inputs)[0] for each in (model, fast))
    real = inputs != pad
    torch.testing.assert_close(found[real], expected[real], rtol=1e-5, atol=1e-5)


def test_half_precision_is_left_unpacked_and_stays_close() -> None:
    task = helpers.task()
    model = helpers.varied_model(task, **CTC).to(torch.bfloat16)
    fast = copy.deepcopy(model)
    fast.prepare_for_inference_(None)
    assert PackedLinear not in kinds(fast)
    assert InferenceAttention in kinds(fast)
    source = helpers.batch(helpers.dataset(task, helpers.pairs(6)))["net_input"]
    states = [each.encode(source["src_tokens"], source["src_lengths"]) for each in (model, fast)]
    real = ~states[0]["encoder_padding_mask"][0].t()
    before, after = (state["encoder_out"][0][real] for state in states)
    torch.testing.assert_close(after, before, rtol=0.05, atol=0.05)


def test_a_torch_without_these_operators_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*unused: Any) -> None:
        raise AttributeError("no such operator")

    monkeypatch.setattr(fast_inference.PackedLinear, "__init__", missing)
    task = helpers.task()
    model = helpers.model(task)
    model.prepare_for_inference_(None)
    assert PackedLinear not in kinds(model)


@pytest.mark.parametrize("bias", [True, False])
def test_a_copy_of_packed_weights_is_the_layer_that_was_packed(bias: bool) -> None:
    layer = torch.nn.Linear(24, 40, bias=bias)
    copied = copy.deepcopy(PackedLinear(layer))
    assert type(copied) is torch.nn.Linear
    assert torch.equal(copied.weight, layer.weight)
    assert copied.bias is None if layer.bias is None else torch.equal(copied.bias, layer.bias)
