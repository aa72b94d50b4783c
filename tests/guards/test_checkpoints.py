"""torch reads checkpoints without running what they hold, whoever asks for something else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fairseq import checkpoint_utils

import nat_plugin
from nat_plugin.errors import UserError
from nat_plugin.guards import checkpoints
from tests.checkpoints import STATE, CreatesFile

nat_plugin.register()


@pytest.fixture
def evil(tmp_path: Path) -> tuple[Path, Path]:
    """A checkpoint, and the file that it creates when its code is run."""
    torch.save({**STATE, "more": CreatesFile(tmp_path / "executed")}, tmp_path / "evil.pt")
    return tmp_path / "evil.pt", tmp_path / "executed"


def test_what_fairseq_writes_is_read(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "good.pt")
    found = checkpoint_utils.load_checkpoint_to_cpu(str(tmp_path / "good.pt"))
    assert found["args"].arch == "transformer"
    assert found["extra_state"]["score"] == 0.5


def test_the_environment_cannot_ask_for_code(evil: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path, mark = evil
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(UserError, match="refused by torch's safe loader and nothing in it was executed"):
        checkpoint_utils.load_checkpoint_to_cpu(str(path))
    checkpoints.install()
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(path)
    assert not mark.exists()


def test_another_fairseq_cannot_ask_for_code(evil: tuple[Path, Path]) -> None:
    path, mark = evil
    guarded = checkpoints._guarded_reading(lambda name: torch.load(name, weights_only=False))
    with pytest.raises(UserError, match="it names code to run"):
        guarded(str(path))
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists(), "the checkpoint is harmless: this test shows nothing"


def test_an_old_torch_reads_no_checkpoint(evil: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path, mark = evil
    for version in ("1.13.1", "2.5.1+cpu"):
        monkeypatch.setattr(torch, "__version__", version)
        with pytest.raises(UserError, match=r"install torch 2\.6 or newer"):
            checkpoint_utils.load_checkpoint_to_cpu(str(path))
    monkeypatch.setattr(torch, "__version__", "2.10.0a0+git")
    with pytest.raises(UserError, match="it names code to run"):
        checkpoint_utils.load_checkpoint_to_cpu(str(path))
    assert not mark.exists()
