"""Checkpoints that cannot be used: one sentence each, and no code from them is run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.checkpoints import CreatesFile
from tests.end_to_end.commands import run
from tests.end_to_end.conftest import Corpus, Model
from tests.end_to_end.settings import ON_CPU, generate, train

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def state(model: Model) -> dict[str, Any]:
    """What the good checkpoint holds."""
    loaded: dict[str, Any] = torch.load(model.checkpoint, weights_only=False)
    return loaded


def test_code_in_a_checkpoint_is_not_run(made: Corpus, state: dict[str, Any], tmp_path: Path) -> None:
    side_effect, checkpoint = tmp_path / "executed", tmp_path / "checkpoint_last.pt"
    torch.save({**state, "extra": CreatesFile(side_effect)}, checkpoint)
    torch.load(checkpoint, weights_only=False)
    assert side_effect.exists(), "the checkpoint is harmless: this test would show nothing"
    side_effect.unlink()
    for message in (generate(made.data, checkpoint).refusal(), train(made.data, tmp_path).refusal()):
        assert f"{checkpoint} was refused by torch's safe loader" in message
        assert "system" in message
    assert not side_effect.exists()


def test_code_in_a_configuration_is_not_run(made: Corpus, transformer: Path, tmp_path: Path) -> None:
    """fairseq evaluates this option as Python when it builds the model, and no pickle is needed for that."""
    side_effect, checkpoint = tmp_path / "executed", tmp_path / "evil.pt"
    state = torch.load(transformer, weights_only=False)
    state["cfg"]["model"].adaptive_softmax_cutoff = f"[__import__('pathlib').Path({str(side_effect)!r}).touch()]"
    torch.save(state, checkpoint)
    words = [made.data, "--task", "translation", "--path", checkpoint, *ON_CPU]
    message = run("fairseq-generate", *words).refusal()
    assert "a configuration holds" in message
    assert "__import__" in message
    assert "nothing in it was executed" in message
    assert not side_effect.exists()


def test_a_truncated_checkpoint_is_refused(made: Corpus, model: Model, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint_last.pt"
    content = model.checkpoint.read_bytes()
    checkpoint.write_bytes(content[: len(content) // 2])
    for message in (generate(made.data, checkpoint).refusal(), train(made.data, tmp_path).refusal()):
        assert f"{checkpoint} is truncated" in message
        assert "use an earlier one" in message


@pytest.mark.parametrize("content", [{"weights": torch.zeros(2)}, [1, 2], {"model": {}}])
def test_another_programs_file_is_refused(made: Corpus, tmp_path: Path, content: Any) -> None:
    checkpoint = tmp_path / "other.pt"
    torch.save(content, checkpoint)
    assert f"{checkpoint} is not a fairseq checkpoint" in generate(made.data, checkpoint).refusal()


def test_a_missing_checkpoint_is_refused(made: Corpus, tmp_path: Path) -> None:
    missing = tmp_path / "missing.pt"
    assert f"no checkpoint at {missing}" in generate(made.data, missing).refusal()
    assert f"--restore-file {missing}" in train(made.data, tmp_path, "--restore-file", missing).refusal()
    message = train(made.data, tmp_path, "--finetune-from-model", missing).refusal()
    assert f"--finetune-from-model {missing} does not exist" in message


def test_an_autoregressive_checkpoint_is_refused(made: Corpus, transformer: Path, tmp_path: Path) -> None:
    message = generate(made.data, transformer).refusal()
    assert "--arch transformer is none of ours" in message
    assert "--task translation" in message
    message = train(made.data, tmp_path, "--restore-file", transformer).refusal()
    assert f"{transformer} does not fit the model" in message


def test_our_checkpoint_is_refused_by_the_autoregressive_task(made: Corpus, model: Model) -> None:
    message = run("fairseq-generate", made.data, "--task", "translation", "--path", model.checkpoint, *ON_CPU).refusal()
    assert "use --task nat_translation" in message


def test_an_ensemble_is_refused(made: Corpus, model: Model) -> None:
    assert "several checkpoints" in generate(made.data, f"{model.checkpoint}:{model.checkpoint}").refusal()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--encoder-ffn-embed-dim", 48], "does not fit the model"),
        (["--criterion", "nat_cross_entropy"], "--reset-optimizer"),
        (["--criterion", "nat_axe", "--optimizer", "sgd"], "--reset-optimizer"),
    ],
)
def test_a_training_that_cannot_be_continued_is_refused(
    made: Corpus, model: Model, tmp_path: Path, flags: list[object], expected: str
) -> None:
    shutil.copy(model.checkpoint, tmp_path / "checkpoint_last.pt")
    assert expected in train(made.data, tmp_path, "--max-update", 1000, *flags).refusal()


@pytest.mark.parametrize("criterion", ["nat_cross_entropy", "nat_axe"])
def test_a_loss_that_is_not_finite_stops_the_training(
    made: Corpus, state: dict[str, Any], tmp_path: Path, criterion: str
) -> None:
    state["model"]["decoder.layers.0.fc1.bias"].fill_(float("inf"))
    torch.save(state, tmp_path / "broken.pt")
    flags = ["--criterion", criterion, "--finetune-from-model", tmp_path / "broken.pt", "--max-update", 2]
    message = train(made.data, tmp_path / "run", *flags).refusal()
    assert "training stopped because" in message
    assert "lower --lr" in message
    assert not (tmp_path / "run" / "checkpoint_last.pt").exists()


def test_a_learning_rate_far_too_high_stops_the_training(made: Corpus, tmp_path: Path) -> None:
    message = train(made.data, tmp_path, "--lr", 1e30, "--max-update", 20).refusal()
    assert "training stopped because" in message
