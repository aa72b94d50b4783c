"""A training that begins with another one's weights: through fairseq-train as scripts/train.py calls it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nat_plugin.errors import UserError
from scripts import weights as weights_script
from scripts.lib.averaging import load_checkpoint, updates_done
from scripts.lib.config import compose_run
from scripts.lib.runs import Run
from scripts.lib.starting import check_start, check_tokens, half_checkpoints, start_checkpoint
from tests.end_to_end import settings
from tests.end_to_end.commands import run
from tests.end_to_end.conftest import Corpus, Model
from tests.end_to_end.corpus import SOURCE, TARGET

pytestmark = pytest.mark.end_to_end

# the settings' own flags come first, and of two the last one wins
FINE_TUNING = [
    *("--criterion", "nat_oaxe", "--masking", "full", "--lr-scheduler", "fixed", "--lr", 1e-5, "--batch-size", 32),
    *("--disable-validation", "--update-epoch-batch-itr", "True"),
]


def tune(made: Corpus, start: Path, folder: Path, updates: int, *flags: object) -> Path:
    words = settings.training(made.data, folder, *FINE_TUNING, "--finetune-from-model", start, *flags)
    run("fairseq-train", *words, "--max-update", updates).checked()
    return folder / "checkpoint_last.pt"


def test_it_begins_anew_with_the_weights_and_goes_on_exactly(made: Corpus, model: Model, tmp_path: Path) -> None:
    start = tmp_path / "start.pt"
    start.write_bytes(model.checkpoint.read_bytes())
    tune(made, start, tmp_path / "cut", 3)
    start.unlink()  # it is read once
    cut = load_checkpoint(tune(made, start, tmp_path / "cut", 6))
    whole = load_checkpoint(tune(made, model.checkpoint, tmp_path / "whole", 6))
    assert updates_done(whole) == updates_done(cut) == 6
    before = load_checkpoint(model.checkpoint)
    assert whole["extra_state"]["train_iterator"]["epoch"] < before["extra_state"]["train_iterator"]["epoch"]
    moved = 0.0
    for name, value in whole["model"].items():
        assert torch.equal(value, cut["model"][name]), name
        moved = max(moved, float((value - before["model"][name]).abs().max()))
    assert 0 < moved < 6 * 1.2e-5  # Adam's steps are no longer than its rate: these are the old weights, a little moved


def test_another_shape_is_refused_in_one_sentence(made: Corpus, model: Model, tmp_path: Path) -> None:
    flags = ["--decoder-ffn-embed-dim", 48, "--finetune-from-model", model.checkpoint, "--max-update", 1]
    words = settings.training(made.data, tmp_path, *FINE_TUNING, *flags)
    message = run("fairseq-train", *words).refusal()
    assert str(model.checkpoint) in message
    assert "does not fit the model that is built here" in message


def test_a_missing_file_is_refused_in_one_sentence(made: Corpus, tmp_path: Path) -> None:
    words = settings.training(made.data, tmp_path, *FINE_TUNING, "--finetune-from-model", "gone.pt", "--max-update", 1)
    message = run("fairseq-train", *words).refusal()
    assert message.startswith("--finetune-from-model gone.pt does not exist: correct it")


def test_weights_as_safetensors_begin_and_translate_as_the_checkpoint_does(
    made: Corpus, model: Model, tmp_path: Path
) -> None:
    """fairseq's own commands read the file, and the checkpoint that is made of it, wherever they read a checkpoint."""
    weights, back = tmp_path / "model.safetensors", tmp_path / "back.pt"
    weights_script.main(["export", str(model.checkpoint), "--output", str(weights)])
    weights_script.main(["import", str(weights), "--output", str(back)])
    assert weights.stat().st_size < model.checkpoint.stat().st_size
    expected, *others = (
        settings.hypotheses(settings.generate(made.data, path).checked().output)
        for path in (model.checkpoint, weights, back)
    )
    assert len(expected) == 101
    assert others == [expected, expected]
    first, second = (
        load_checkpoint(tune(made, path, tmp_path / path.suffix[1:], 2)) for path in (model.checkpoint, weights)
    )
    for name, value in first["model"].items():
        assert torch.equal(value, second["model"][name]), name


class TestWhatStartFromMeans:
    """scripts/lib/starting.py."""

    @staticmethod
    def config(start: object, **fairseq: object) -> dict[str, object]:
        config = compose_run(["data=generated", "method=vanilla", "machine=cpu"])
        return {**config, "start_from": start, "fairseq": {**config["fairseq"], **fairseq}}

    def test_a_run_or_a_file(self, model: Model, tmp_path: Path) -> None:
        here = Run(tmp_path / "new")
        assert start_checkpoint(self.config(None), here) is None
        assert start_checkpoint(self.config(str(model.checkpoint)), here) == model.checkpoint
        other = Run(tmp_path / "other")
        other.checkpoints.mkdir(parents=True)
        with pytest.raises(UserError, match="holds no checkpoint"):
            start_checkpoint(self.config(str(other.folder)), here)
        other.averaged_checkpoint.touch()
        assert start_checkpoint(self.config(str(other.folder)), here) == other.averaged_checkpoint
        gone = self.config(str(tmp_path / "gone.pt"))
        with pytest.raises(UserError, match=r"gone\.pt: there is no such run or checkpoint"):
            start_checkpoint(gone, here)
        here.checkpoints.mkdir(parents=True)
        here.last_checkpoint.touch()
        assert start_checkpoint(gone, here) == tmp_path / "gone.pt"  # a training that goes on does not need it

    def test_the_half_of_a_run_or_a_file(self, model: Model, tmp_path: Path) -> None:
        other = Run(tmp_path / "other")
        assert half_checkpoints(self.config(None)) == {}
        named = self.config(None, load_encoder_from=str(other.folder), load_decoder_from=str(model.checkpoint))
        other.checkpoints.mkdir(parents=True)
        with pytest.raises(UserError, match="holds no checkpoint"):
            half_checkpoints(named)
        other.averaged_checkpoint.touch()
        assert half_checkpoints(named) == {
            "load_encoder_from": other.averaged_checkpoint,
            "load_decoder_from": model.checkpoint,
        }

    def test_other_tokens_and_languages_are_refused(self, made: Corpus, model: Model, tmp_path: Path) -> None:
        check_tokens("it", model.checkpoint, made.data, (SOURCE, TARGET))
        with pytest.raises(UserError, match=f"it has {SOURCE} as its source language, not {TARGET}"):
            check_tokens("it", model.checkpoint, made.data, (TARGET, SOURCE))
        for language in (SOURCE, TARGET):
            lines = (made.data / f"dict.{language}.txt").read_text(encoding="utf-8").splitlines()
            (tmp_path / f"dict.{language}.txt").write_text("\n".join(reversed(lines)) + "\n", encoding="utf-8")
        with pytest.raises(UserError, match="it was trained with another dictionary"):
            check_tokens("it", model.checkpoint, tmp_path, (SOURCE, TARGET))
        with pytest.raises(UserError, match=r"start_from and fairseq\.load_encoder_from both say"):
            check_start(self.config("x", load_encoder_from="y"), model.checkpoint)
