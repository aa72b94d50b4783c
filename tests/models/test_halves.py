"""A half from another checkpoint, and a half that is not trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from nat_plugin.errors import UserError
from tests import helpers

HALVES = ("encoder", "decoder")
APART: dict[str, Any] = {"share_embeddings": "decoder", "copying": "soft"}


def save(state: dict[str, Any], path: Path, **task: str) -> Path:
    """A checkpoint as fairseq writes it, as far as it is read here."""
    saved = {"data": "none", "source_lang": "a", "target_lang": "b", **task}
    history = [{"num_updates": 1, "optimizer_name": "FairseqAdam", "lr_scheduler_state": {}}]
    rest = {"args": None, "optimizer_history": history, "extra_state": {}, "task_state": {}}
    torch.save({"cfg": {"task": saved}, "model": state, **rest}, path)
    return path


def made(seed: int, **options: Any) -> Any:
    torch.manual_seed(seed)
    return helpers.model(helpers.task(), **{**APART, **options})


def begun(seed: int, restored: str = "", **options: Any) -> Any:
    model = made(seed, **options)
    model.begin_training(helpers.task(), restored)
    return model


def same(first: Any, second: Any) -> set[str]:
    """The parameters that are equal and not constants of the initialisation."""
    other = dict(second.named_parameters())
    return {
        name
        for name, value in first.named_parameters()
        if torch.equal(value, other[name]) and value.numel() > 1 and value.std() > 0
    }


@pytest.mark.parametrize("half", HALVES)
def test_a_half_is_read_and_the_other_is_as_it_was(half: str, tmp_path: Path) -> None:
    trained, fresh = made(1), made(2)
    with torch.no_grad():
        trained.slot_copy.log_temperature.fill_(2.0)
    path = save(trained.state_dict(), tmp_path / "trained.pt")
    model = begun(2, **{f"load_{half}_from": str(path)})
    read, kept = same(model, trained), same(model, fresh)
    parts = {name.partition(".")[0] for name in read}
    assert parts == ({"encoder", "length_predictor"} if half == "encoder" else {"decoder"})
    assert {name.partition(".")[0] for name in kept} & parts == set()
    assert read | kept == {name for name, value in model.named_parameters() if value.numel() > 1 and value.std() > 0}
    temperature = model.slot_copy.log_temperature.item()
    assert temperature == (2.0 if half == "decoder" else fresh.slot_copy.log_temperature.item())
    assert model.state_dict().keys() == trained.state_dict().keys()


def test_a_training_that_goes_on_reads_nothing(tmp_path: Path) -> None:
    model = begun(2, restored="checkpoint_last.pt", load_encoder_from=str(tmp_path / "removed.pt"))
    assert same(model, made(2)) == {
        name for name, value in model.named_parameters() if value.numel() > 1 and value.std() > 0
    }


@pytest.mark.parametrize("half", HALVES)
def test_a_frozen_half_has_no_gradient_and_the_rest_has(half: str) -> None:
    task = helpers.task()
    model = made(1, **{f"freeze_{half}": True})
    data = helpers.dataset(task, helpers.pairs(5))
    loss, _, _ = helpers.criterion("nat_cross_entropy", task)(model, helpers.batch(data))
    loss.backward()
    without = {name.partition(".")[0] for name, parameter in model.named_parameters() if parameter.grad is None}
    given = {name.partition(".")[0] for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert without == ({"encoder"} if half == "encoder" else {"decoder", "slot_copy"})
    assert given == {"encoder", "decoder", "length_predictor", "slot_copy"} - without


def test_an_autoregressive_encoder_is_read_without_a_length_predictor(tmp_path: Path) -> None:
    trained = made(1)
    state = {name: value for name, value in trained.state_dict().items() if name.startswith(HALVES)}
    state |= {"encoder.version": torch.tensor([3.0]), "encoder.embed_positions._float_tensor": torch.zeros(1)}
    path = save(state, tmp_path / "teacher.pt")
    model = begun(2, load_encoder_from=str(path))
    assert {name.partition(".")[0] for name in same(model, trained)} == {"encoder"}


def test_a_latent_variable_is_fresh_beside_a_read_encoder(tmp_path: Path) -> None:
    trained = made(1, latent_dim=2)
    path = save(trained.state_dict(), tmp_path / "trained.pt")
    untouched, model = begun(2, latent_dim=2), begun(2, latent_dim=2, load_encoder_from=str(path))
    assert {name.partition(".")[0] for name in same(model, trained)} >= {"encoder", "length_predictor"}
    assert {name.partition(".")[0] for name in same(model, untouched)} == {"decoder", "latent"}
    assert not any(name.startswith("latent.") for name in same(model, trained))


def test_one_half_may_come_with_embeddings_that_all_share(tmp_path: Path) -> None:
    trained = made(1, share_embeddings="all")
    path = save(trained.state_dict(), tmp_path / "trained.pt")
    model = begun(2, share_embeddings="all", load_decoder_from=str(path))
    assert torch.equal(model.encoder.embed_tokens.weight, trained.decoder.embed_tokens.weight)
    assert model.encoder.embed_tokens is model.decoder.embed_tokens
    apart = begun(2, load_encoder_from=str(path))
    assert torch.equal(apart.encoder.embed_tokens.weight, trained.encoder.embed_tokens.weight)
    assert not torch.equal(apart.decoder.embed_tokens.weight, trained.decoder.embed_tokens.weight)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"freeze_encoder": True, "freeze_decoder": True}, "leave nothing to train"),
        ({"freeze_encoder": True, "share_embeddings": "all"}, "--freeze-encoder cannot go with --share-embeddings all"),
        (
            {"load_encoder_from": "a", "load_decoder_from": "b", "share_embeddings": "all"},
            "use --share-embeddings decoder",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        made(1, **options)


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    words = helpers.dictionary()
    words.symbols[-3], words.symbols[-4] = words.symbols[-4], words.symbols[-3]
    words.save(str(data / "dict.a.txt"))
    shallow, deep = made(1), made(1, encoder_layers=2)
    files = {
        "there is no such file": tmp_path / "nowhere.pt",
        r"no encoder\.layers\.1\.": save(shallow.state_dict(), tmp_path / "shallow.pt"),
        "has c as its source language, not a": save(deep.state_dict(), tmp_path / "other.pt", source_lang="c"),
        "was trained with another dictionary": save(deep.state_dict(), tmp_path / "words.pt", data=str(data)),
        r"encoder\.layers\.0\.fc1\.weight is \[8, 16\] in it, but \[32, 16\] here": save(
            made(1, encoder_layers=2, encoder_ffn_embed_dim=8).state_dict(), tmp_path / "narrow.pt"
        ),
        r"no place here for its encoder\.layers\.2\.": save(
            made(1, encoder_layers=3).state_dict(), tmp_path / "deeper.pt"
        ),
    }
    for sentence, path in files.items():
        with pytest.raises(UserError, match=f"--load-encoder-from .*{sentence}"):
            begun(2, encoder_layers=2, load_encoder_from=str(path))
