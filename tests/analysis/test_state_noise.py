"""Noise in place of what a model sees: where it stands, how large it is, and that it does not depend on the batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fairseq.sequence_generator import SequenceGenerator
from hypothesis import given
from hypothesis import strategies as st

from nat_plugin.analysis.state_noise import PLACES, Place, StateNoise, disturb_states, state_noise
from tests import helpers


@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    rate=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    left=st.booleans(),
    more=st.integers(0, 2),
)
def test_some_vectors_are_noise_and_the_others_as_they_were(
    lengths: list[int], rate: float, left: bool, more: int
) -> None:
    width = max(lengths) + more
    states = torch.randn(len(lengths), width, 3, generator=torch.Generator().manual_seed(1))
    columns = torch.arange(width).expand(len(lengths), width)
    counts = torch.tensor(lengths).unsqueeze(1)
    positions = columns >= width - counts if left else columns < counts
    ids = torch.arange(len(lengths)) * 7919
    noise = StateNoise("encoder_output", rate, strength=2.0)
    found = disturb_states(states, positions, noise, draw=3, sentence_ids=ids)
    changed = (found != states).any(2)
    assert changed.sum(1).tolist() == [int(rate * length + 0.5) for length in lengths]
    assert not (changed & ~positions).any()
    for row, length in enumerate(lengths):
        alone = states[row][positions[row]][None]
        single = disturb_states(alone, torch.ones(1, length).bool(), noise, draw=3, sentence_ids=ids[row : row + 1])
        torch.testing.assert_close(found[row][positions[row]], single[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_size_is_that_of_the_sentences_vectors(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    states = (torch.randn(2, 200, 16, generator=generator) * torch.tensor([1.0, 5.0])[:, None, None]).to(dtype)
    positions = torch.ones(2, 200).bool()
    ids = torch.tensor([3, 4])
    for strength in (0.0, 1.0, 0.5):
        noise = StateNoise("encoder_output", 1.0, strength)
        found = disturb_states(states, positions, noise, draw=0, sentence_ids=ids)
        assert found.dtype == dtype
        sizes = found.double().square().mean((1, 2)).sqrt()
        wanted = strength * states.double().square().mean((1, 2)).sqrt()
        torch.testing.assert_close(sizes, wanted, rtol=0.05, atol=1e-6)
        assert found.double().mean().abs() < 0.2


def translate(
    task: Any, model: Any, data: Any, indices: list[int], **options: Any
) -> dict[int, tuple[list[int], float]]:
    generator = task.build_generator([model], helpers.namespace(**options))
    sample = helpers.batch(data, indices)
    found = generator.generate([model], sample)
    return {
        sentence: (best[0]["tokens"].tolist(), float(best[0]["score"]))
        for sentence, best in zip(sample["id"].tolist(), found, strict=True)
    }


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "options",
    [
        {"length_candidates": 3, "iterations": 4},
        {"copying": "soft"},
        {"upsample_scale": 2.0, "copying": "uniform", "latent_dim": 2, "latent_layers": 1, "latent_samples": 2},
    ],
)
def test_a_translation_changes_but_not_with_its_batch(place: Place, options: dict[str, Any]) -> None:
    decoding = {key: options[key] for key in options if key.startswith(("length", "iter", "latent_s"))}
    task = helpers.task()
    model = helpers.varied_model(task, **{key: options[key] for key in options if key not in decoding})
    data = helpers.dataset(task, helpers.pairs(8, seed=3, shortest=2))
    everything = list(range(8))
    clean = translate(task, model, data, everything, **decoding)
    noise = StateNoise(place, 0.5)
    with state_noise(model, noise):
        together = translate(task, model, data, everything, **decoding)
        again = translate(task, model, data, everything, **decoding)
        alone = {}
        for index in everything:
            alone |= translate(task, model, data, [index], **decoding)
    assert sum(together[index] != clean[index] for index in everything) >= 6
    assert together == again
    for index in everything:
        assert together[index][0] == alone[index][0]
        assert together[index][1] == pytest.approx(alone[index][1], abs=1e-4)
    assert translate(task, model, data, everything, **decoding) == clean  # the model is as it was
    with state_noise(model, StateNoise(place, 0.0)):
        unchanged = translate(task, model, data, everything, **decoding)
    assert [unchanged[index][0] for index in everything] == [clean[index][0] for index in everything]


def test_noise_at_the_encoders_input_keeps_positions_and_copies_clean() -> None:
    task = helpers.task()
    model = helpers.varied_model(task)
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(4, seed=3)))["net_input"]
    source, lengths = sample["src_tokens"], sample["src_lengths"]
    clean = model.encode(source, lengths)
    with state_noise(model, StateNoise("encoder_input", 1.0, strength=0.0)):  # nothing but positions is left
        noisy = model.encode(source, lengths)
    torch.testing.assert_close(noisy["encoder_embedding"][0], clean["encoder_embedding"][0])
    words = source.ne(task.source_dictionary.pad()) & source.ne(task.source_dictionary.eos())
    zeros = model.encoder.embed_tokens(source) * (~words).unsqueeze(2)
    expected = model.encoder(source, src_lengths=lengths, token_embeddings=zeros)
    torch.testing.assert_close(noisy["encoder_out"][0], expected["encoder_out"][0])


def test_noise_at_the_encoders_output_leaves_the_end_marker() -> None:
    task = helpers.task()
    model = helpers.varied_model(task)
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(4, seed=3)))["net_input"]
    clean = model.encode(sample["src_tokens"], sample["src_lengths"])["encoder_out"][0].transpose(0, 1)
    with state_noise(model, StateNoise("encoder_output", 1.0)):
        noisy = model.encode(sample["src_tokens"], sample["src_lengths"])["encoder_out"][0].transpose(0, 1)
    words = sample["src_tokens"].ne(task.source_dictionary.pad()) & sample["src_tokens"].ne(
        task.source_dictionary.eos()
    )
    assert torch.equal((noisy != clean).any(2), words)


def test_noise_in_every_slot_hides_what_the_canvas_shows() -> None:
    """Each pass draws anew, the end marker stays, and without size nothing but positions is seen."""
    task = helpers.task()
    model = helpers.varied_model(task)
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(3, seed=3, shortest=4)))
    encoder_input = sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"]
    lengths = torch.tensor([3, 5, 4])
    masks = torch.full((3, 5), task.mask_idx)
    shown = torch.full((3, 5), task.target_dictionary.index("w3"))
    for strength, alike in ((0.0, True), (1.0, False)):
        with state_noise(model, StateNoise("decoder_input", 1.0, strength)):
            encoded = model.encode(*encoder_input)
            first, second = (model.decode_canvas(slots, lengths, encoded)[0, :3] for slots in (masks, shown))
            encoded = model.encode(*encoder_input)
            again = model.decode_canvas(masks, lengths, encoded)[0, :3]
        torch.testing.assert_close(again, first)
        assert torch.allclose(first, second, atol=1e-5) == alike
        assert not torch.allclose(first, model.decode_canvas(masks, lengths, encoded)[0, :3], atol=1e-5)


def test_an_autoregressive_transformer(monkeypatch: pytest.MonkeyPatch) -> None:
    """fairseq's own, with padding on the left; it has no canvas."""
    from fairseq.models.transformer import TransformerConfig, TransformerModelBase

    task = helpers.task()
    config = TransformerConfig()
    for side in (config.encoder, config.decoder):
        side.embed_dim, side.ffn_embed_dim, side.layers, side.attention_heads = 16, 32, 1, 2
    config.decoder.input_dim = config.decoder.output_dim = 16
    config.max_source_positions = config.max_target_positions = 64
    torch.manual_seed(1)
    model = TransformerModelBase.build_model(config, task).eval()
    data = helpers.dataset(task, helpers.pairs(6, seed=3, shortest=2), left_pad_source=True)
    generator = SequenceGenerator([model], task.target_dictionary, beam_size=2, max_len_b=8)

    def best(indices: list[int]) -> dict[int, float]:
        sample = helpers.batch(data, indices)
        found = generator.generate([model], sample)
        return {index: float(each[0]["score"]) for index, each in zip(sample["id"].tolist(), found, strict=True)}

    clean = best(list(range(6)))
    for place in ("encoder_input", "encoder_output"):
        with state_noise(model, StateNoise(place, 0.5)):
            together = best(list(range(6)))
            alone = {index: best([index])[index] for index in range(6)}
        assert sum(abs(together[index] - clean[index]) > 1e-4 for index in clean) >= 5
        assert together == pytest.approx(alone, abs=1e-4)
    assert best(list(range(6))) == clean
    with pytest.raises(ValueError, match="no canvas"), state_noise(model, StateNoise("decoder_input", 0.5)):
        pass
