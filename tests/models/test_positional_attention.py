"""Positional attention: against loops over slots and heads, beside any padding, learned and saved like the rest."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from fairseq.dataclass.utils import gen_parser_from_dataclass
from fairseq.modules.transformer_layer import TransformerDecoderLayerBase
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nat_plugin.errors import UserError
from nat_plugin.models.positional_layer import PositionalDecoderLayer
from nat_plugin.models.presets import preset_config
from tests import helpers

WITH = {"positional_attention": 1}
CTC = {"masking": "full", "upsample_scale": 2.5}
MOST = 15  # slots and an end marker fit into 16 positions
SHORT = {"max_target_positions": MOST + 1}


def layer_of(**options: Any) -> PositionalDecoderLayer:
    """A layer of width 16 with two heads in double precision, all its parameters random."""
    made = helpers.model(helpers.task(), **WITH, **options).decoder.layers[0].double().eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 2)
    assert isinstance(made, PositionalDecoderLayer)
    return made


def attention_by_hand(module: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """One sentence's attention, [T, D], weight by weight."""
    q, k, v = module.q_proj(queries), module.k_proj(keys), module.v_proj(values)
    size = q.size(1) // module.num_heads
    rows = []
    for query in q:
        heads = []
        for first in range(0, q.size(1), size):
            part = slice(first, first + size)
            scores = [float(query[part] @ key[part]) / math.sqrt(size) for key in k]
            weights = [math.exp(score - max(scores)) for score in scores]
            heads.append(sum(weight / sum(weights) * value[part] for weight, value in zip(weights, v, strict=True)))
        rows.append(torch.cat(heads))
    return module.out_proj(torch.stack(rows))


def layer_by_hand(layer: Any, states: Tensor, source: Tensor, positions: Tensor) -> Tensor:
    """One sentence's layer, [T, D], part by part."""
    parts = [
        (layer.self_attn_layer_norm, lambda x: attention_by_hand(layer.self_attn, x, x, x)),
        (layer.positional_attn_layer_norm, lambda x: attention_by_hand(layer.positional_attn, positions, positions, x)),
        (layer.encoder_attn_layer_norm, lambda x: attention_by_hand(layer.encoder_attn, x, source, source)),
        (layer.final_layer_norm, lambda x: layer.fc2(torch.relu(layer.fc1(x)))),
    ]
    for norm, part in parts:
        states = states + part(norm(states)) if layer.normalize_before else norm(states + part(states))
    return states


@pytest.mark.parametrize("normalize_before", [False, True])
@given(sizes=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 4)), min_size=1, max_size=3), left=st.booleans())
@settings(max_examples=10)
@torch.no_grad()
def test_is_what_loops_compute_for_each_sentence(
    normalize_before: bool, sizes: list[tuple[int, int]], left: bool
) -> None:
    layer = layer_of(decoder_normalize_before=normalize_before)
    generator = torch.Generator().manual_seed(len(sizes))

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, 16, generator=generator, dtype=torch.float64)

    widest, longest = max(slots for slots, _ in sizes), max(words for _, words in sizes)
    states, source, positions = random(widest, len(sizes)), random(longest, len(sizes)), random(widest, 1)
    padding = torch.arange(widest) >= torch.tensor([slots for slots, _ in sizes]).unsqueeze(1)
    words = torch.tensor([words for _, words in sizes]).unsqueeze(1)
    places = torch.arange(longest)
    source_padding = places < longest - words if left else places >= words
    found, *_ = layer(states, source, source_padding, padding if padding.any() else None, positions)
    assert bool(found.isfinite().all())
    for row, (slots, _) in enumerate(sizes):
        of_row = source[:, row][~source_padding[row]]
        expected = layer_by_hand(layer, states[:slots, row], of_row, positions[:slots, 0])
        torch.testing.assert_close(found[:slots, row], expected)


def test_without_its_output_it_is_fairseqs_layer() -> None:
    layer = layer_of(decoder_normalize_before=True)
    with torch.no_grad():
        layer.positional_attn.out_proj.weight.zero_()
        layer.positional_attn.out_proj.bias.zero_()
    states, source, positions = (torch.randn(length, 2, 16, dtype=torch.float64) for length in (5, 4, 5))
    padding, source_padding = torch.zeros(2, 5, dtype=torch.bool), torch.zeros(2, 4, dtype=torch.bool)
    padding[1, 3:] = True
    source_padding[0, :2] = True
    found, *_ = layer(states, source, source_padding, padding, positions[:, :1])
    expected, *_ = TransformerDecoderLayerBase.forward(
        layer, states, source, source_padding, self_attn_padding_mask=padding
    )
    # fairseq's attention to the source has its weights in single precision
    torch.testing.assert_close(found[~padding.t()], expected[~padding.t()], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
@torch.no_grad()
def test_the_shortest_beside_the_longest_canvas_is_as_alone(positions: str) -> None:
    task = helpers.task()
    model = helpers.varied_model(task, **WITH, **SHORT, positions=positions)
    assert model.max_slots == MOST
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(3, seed=1, shortest=2)))
    source, source_lengths = sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"]
    lengths = torch.tensor([MOST, 1, 6])
    slots = torch.full((3, MOST), task.mask_idx)
    slots[2, 1:4] = task.target_dictionary.index("w3")
    together = model.decode_canvas(slots, lengths, model.encode(source, source_lengths))
    for row, length in enumerate(lengths.tolist()):
        alone = model.decode_canvas(
            slots[row : row + 1, :length],
            lengths[row : row + 1],
            model.encode(source[row : row + 1], source_lengths[row : row + 1]),
        )
        torch.testing.assert_close(together[row, :length], alone[0], rtol=1e-4, atol=1e-5)


def train(model: Any, criterion: Any, sample: dict[str, Any], updates: int = 120) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for update in range(updates):
        model.set_num_updates(update)
        loss, size, _ = criterion(model, sample)
        optimizer.zero_grad()
        (loss / size).backward()
        optimizer.step()


@pytest.mark.parametrize(
    ("options", "left_pad_source"),
    [
        ({"init": "bert", "positions": "learned"}, False),
        ({"init": "xavier", "positions": "sinusoidal", "decoder_normalize_before": True}, True),
        ({"init": "xavier", "positions": "learned", "copying": "hard", **CTC}, True),
    ],
)
def test_overfits_is_saved_and_translates_alike_in_any_batch(
    options: dict[str, Any], left_pad_source: bool, tmp_path: Path
) -> None:
    task = helpers.task(left_pad_source=left_pad_source)
    shape = {"encoder_embed_dim": 32, "decoder_embed_dim": 32, **WITH, **options}
    model = helpers.model(task, **shape)
    data = helpers.dataset(task, helpers.pairs(6, seed=3, shortest=3, longest=5), left_pad_source)
    sample = helpers.batch(data)
    train(model, helpers.criterion("nat_ctc" if model.upsamples else "nat_cross_entropy", task), sample)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    loaded = helpers.model(task, **shape)
    loaded.load_state_dict(torch.load(tmp_path / "model.pt"))
    best = task.build_generator([model], helpers.namespace()).generate([model], sample)
    again = task.build_generator([loaded], helpers.namespace()).generate([loaded], sample)
    decoding = {} if model.upsamples else {"iterations": 4, "length_candidates": 2, "remask_neighbours": True}
    generator = task.build_generator([model], helpers.namespace(**decoding))
    together = generator.generate([model], sample)
    for row, sentence in enumerate(sample["id"].tolist()):
        assert best[row][0]["tokens"].tolist() == data.tgt[sentence][:-1].tolist()
        assert torch.equal(best[row][0]["positional_scores"], again[row][0]["positional_scores"])
        alone = generator.generate([model], helpers.batch(data, [sentence]))[0][0]
        assert together[row][0]["tokens"].tolist() == alone["tokens"].tolist()
        assert together[row][0]["score"] == pytest.approx(alone["score"], abs=1e-4)


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_every_parameter_gets_a_gradient_and_attention_dropout_is_for_training(positions: str) -> None:
    task = helpers.task()
    model = helpers.model(task, **WITH, share_embeddings="none", positions=positions, attention_dropout=0.5)
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(4)))
    criterion = helpers.criterion("nat_axe", task)
    loss, _, _ = criterion(model, sample)
    loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    for layer in model.decoder.layers:
        layer.positional_attn.dropout_module.p = 0.5
        for other in (layer.self_attn, layer.encoder_attn):
            other.dropout_module.p = 0.0
    for layer in model.encoder.layers:
        layer.self_attn.dropout_module.p = 0.0
    assert float(criterion(model, sample)[0].detach()) != float(criterion(model, sample)[0].detach())
    model.eval()
    assert float(criterion(model, sample)[0].detach()) == float(criterion(model, sample)[0].detach())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_to_single(dtype: torch.dtype) -> None:
    task = helpers.task()
    model = helpers.varied_model(task, **WITH, **CTC)
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(4, seed=4)))
    source = sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"]
    lengths = torch.tensor([6, 2, 9, 1])
    slots = torch.full((4, 9), task.mask_idx)
    with torch.no_grad():
        single = model.decode_canvas(slots, lengths, model.encode(*source))
        half = model.to(dtype).decode_canvas(slots, lengths, model.encode(*source))
    assert half.dtype == dtype
    real = torch.arange(9) < lengths.unsqueeze(1)
    assert float((half.float() - single)[real].abs().mean()) < 0.02 * float(single[real].std())
    model.train()
    loss, _, _ = helpers.criterion("nat_ctc", task)(model, sample)
    loss.backward()
    assert bool(torch.isfinite(loss))
    assert all(bool(parameter.grad.isfinite().all()) for parameter in model.parameters() if parameter.grad is not None)


def test_both_initialisations() -> None:
    wide = {"encoder_embed_dim": 64, "decoder_embed_dim": 64, **WITH}
    for init, deviation in (("bert", 0.02), ("xavier", math.sqrt(2 / (64 + 64)) / math.sqrt(2))):
        layer = helpers.model(helpers.task(), init=init, **wide).decoder.layers[0]
        attention = layer.positional_attn
        weights = torch.cat([part.weight.flatten() for part in (attention.q_proj, attention.k_proj, attention.v_proj)])
        assert weights.std().item() == pytest.approx(deviation, rel=0.05)
        assert bool((layer.positional_attn_layer_norm.weight == 1).all())


def test_the_flag_is_off_by_default_and_can_be_off_where_a_preset_has_it_on() -> None:
    assert not any("positional_attn" in name for name in helpers.model(helpers.task()).state_dict())
    for default, words, expected in (
        (False, [], 0),
        (False, ["--positional-attention"], 1),
        (True, [], 1),
        (True, ["--positional-attention"], 1),
        (True, ["--positional-attention", "0"], 0),
    ):
        parser = argparse.ArgumentParser()
        gen_parser_from_dataclass(parser, preset_config("TriedConfig", {"positional_attention": default})())
        assert parser.parse_args(words).positional_attention == expected
    with pytest.raises(UserError, match="--positional-attention must be 1 or 0, not 2"):
        helpers.model(helpers.task(), positional_attention=2)
