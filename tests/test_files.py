"""Files are whole or absent, also where processes are killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nat_plugin.files import atomic_path, atomic_write, write_json


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "numbers.json"
    write_json(path, [1])
    with pytest.raises(ZeroDivisionError), atomic_write(path) as handle:
        handle.write(f"half {1 / 0}")
    assert path.read_text() == "[\n  1\n]\n"
    assert names(path.parent) == ["numbers.json"]


def test_the_name_appears_when_the_file_is_whole(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "whole") as temporary:
        temporary.write_text("content")
        assert not (tmp_path / "whole").exists()
    assert names(tmp_path) == ["whole"]


def test_what_killed_processes_left_is_removed_by_the_next(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    path = tmp_path / "scores [1].json"
    kept = [f".{path.name}.{os.getppid()}.tmp", f".other.json.{ended.pid}.tmp", f".{path.name}.old.tmp"]
    for name in (f".{path.name}.{ended.pid}.tmp", *kept):
        (tmp_path / name).write_text("half")
    write_json(path, {})
    assert names(tmp_path) == sorted([path.name, *kept])  # one is of a process that is at work, others of other files
