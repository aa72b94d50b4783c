"""Checkpoints are whole or absent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.file_io import PathManager

import nat_plugin
from nat_plugin.errors import UserError

nat_plugin.register()


class Unwritable:
    """Fails in the middle of being saved."""

    def __reduce__(self) -> Any:
        raise OSError(28, "No space left on device")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_saving_replaces_whole_files_and_removes_leftovers(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    killed, running = 2**22 + 1, os.getppid()  # no process of Linux has so large a number
    (tmp_path / f".checkpoint.pt.{killed}.tmp").write_bytes(b"of a killed process")
    others = [f".another.pt.{killed}.tmp", f".checkpoint.pt.{running}.tmp"]
    for other in others:
        (tmp_path / other).write_bytes(b"another file's, or another process at work")
    for value in (1, 2):
        checkpoint_utils.torch_persistent_save({"value": value}, str(path))
        assert torch.load(path) == {"value": value}
    assert names(tmp_path) == sorted([*others, "checkpoint.pt"])


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint_utils.torch_persistent_save({"value": 1}, str(path))
    with pytest.raises(UserError, match=r"checkpoint\.pt could not be written \(No space left on device\)"):
        checkpoint_utils.torch_persistent_save({"value": Unwritable()}, str(path))
    assert torch.load(path) == {"value": 1}
    assert names(tmp_path) == ["checkpoint.pt"]


def test_copying_keeps_to_what_it_is_told(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"new")
    target.write_bytes(b"old")
    assert not PathManager.copy(str(source), str(target))
    assert target.read_bytes() == b"old"
    assert PathManager.copy(str(source), str(target), overwrite=True)
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["a", "b"]
