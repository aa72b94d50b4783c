"""Locks, and what goes on without them where a file system has none."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from nat_plugin.errors import UserError
from nat_plugin.locks import take_lock
from scripts.lib.runs import Run
from scripts.lib.stages import exclusive
from scripts.lib.tuning.presence import Presence


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def without_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file system such as Lustre without ``-o flock``; what it says when it is asked for a lock."""

    def refuse(handle: object, operation: int) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)
    return os.strerror(request.param)


def test_one_has_the_lock_until_the_file_is_closed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lock"
    with open(path, "w") as first, open(path) as second:
        assert take_lock(first)
        assert not take_lock(second)
        first.close()
        assert take_lock(second, wait=True)
    assert capsys.readouterr().err == ""


def test_work_goes_on_where_there_are_no_locks_and_says_so(
    without_locks: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = []
    with Run(tmp_path / "run").locked():
        done.append("training")
    for wait in (False, True):
        with exclusive(tmp_path / "stages" / "lock", wait=wait):
            done.append("stage")
    assert done == ["training", "stage", "stage"]
    notes = capsys.readouterr().err.splitlines()
    assert [note.partition(" cannot be locked ")[0] for note in notes] == [
        f"note: {tmp_path / folder}" for folder in ("run", "stages", "stages")
    ]
    assert all(f"({without_locks}), so nothing keeps two processes apart" in note for note in notes)


def test_workers_of_a_study_need_no_locks(
    without_locks: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = Presence(tmp_path)
    (tmp_path / "there").write_text("another machine", encoding="utf-8")
    assert not here.is_gone("there")
    here.close()
    assert capsys.readouterr().err == "", "each look at another worker would say it again"


def test_who_has_the_lock_is_still_respected(tmp_path: Path) -> None:
    run, lock = Run(tmp_path / "run"), tmp_path / "stages" / "lock"
    with run.locked(), pytest.raises(UserError, match="another process is working in"), run.locked():
        pass
    with (
        exclusive(lock),
        pytest.raises(UserError, match=r"another process \(process \d+\) is writing"),
        exclusive(lock),
    ):
        pass
