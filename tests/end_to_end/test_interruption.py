"""kill -9 and a full disk, at the worst moment: what was saved stays whole, and the same command goes on."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.end_to_end.commands import Result
from tests.end_to_end.conftest import Corpus
from tests.end_to_end.settings import start_training, train
from tests.scripts.tiny_training import assert_same_parameters, small_disk

pytestmark = pytest.mark.end_to_end

FLAGS = ["--dropout", 0.3, "--batch-size", 32]
MORE = ["--max-update", 9]
LAST = "checkpoint_last.pt"


def wait_for_file(path: Path) -> None:
    end = time.monotonic() + 240
    while not path.exists():
        assert time.monotonic() < end, "no checkpoint was written"
        time.sleep(0.002)


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if ".tmp" in path.name)


def test_a_killed_training_goes_on_where_it_saved(made: Corpus, tmp_path: Path) -> None:
    save = ["--save-interval-updates", 2, "--keep-interval-updates", 1]
    folder = tmp_path / "killed"
    running = start_training(made.data, folder, *FLAGS, *save, "--max-update", 100000)
    wait_for_file(folder / LAST)
    pid = running.process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert running.wait().status == -signal.SIGKILL
    resumed = train(made.data, folder, *FLAGS, "--max-update", 30).checked()
    assert "Loaded checkpoint" in resumed.output
    train(made.data, tmp_path / "whole", *FLAGS, "--max-update", 30).checked()
    assert_same_parameters(folder / LAST, tmp_path / "whole" / LAST)
    assert leftovers(folder) == []


@contextmanager
def full(folder: Path, room: int) -> Iterator[None]:
    """Within the context only ``room`` bytes are left on the disk of ``folder``."""
    filler = folder.parent / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(folder).free - room))
    try:
        yield
    finally:
        filler.unlink()


def check_refused(result: Result, folder: Path, last: bytes) -> None:
    message = result.refusal()
    assert f"{folder / LAST} could not be written" in message
    assert "the disk has space" in message
    assert (folder / LAST).read_bytes() == last
    assert leftovers(folder) == []


def check_continues(made: Corpus, folder: Path, whole: Path) -> None:
    train(made.data, folder, *FLAGS, *MORE).checked()
    train(made.data, whole, *FLAGS, *MORE).checked()
    assert_same_parameters(folder / LAST, whole / LAST)


@pytest.mark.parametrize("copied", [False, True])
def test_a_full_disk_leaves_the_last_checkpoint(made: Corpus, tmp_path: Path, copied: bool) -> None:
    """It gets full while torch writes, or while what was written is copied to checkpoint_last.pt."""
    with small_disk(tmp_path / "disk", "4m"):
        folder = tmp_path / "disk" / "run"
        train(made.data, folder, *FLAGS, "--max-update", 4).checked()
        last = (folder / LAST).read_bytes()
        first_copy = ["--save-interval-updates", 7] if copied else []  # checkpoint_1_7.pt first
        with full(folder, len(last) * (3 if copied else 1) // 2):
            refused = train(made.data, folder, *FLAGS, *MORE, *first_copy)
        check_refused(refused, folder, last)
        assert (folder / "checkpoint_1_7.pt").exists() == copied
        check_continues(made, folder, tmp_path / "whole")


def test_a_limit_on_file_sizes_leaves_the_last_checkpoint(made: Corpus, tmp_path: Path) -> None:
    """The same without root."""
    train(made.data, tmp_path / "run", *FLAGS, "--max-update", 4).checked()
    last = (tmp_path / "run" / LAST).read_bytes()
    check_refused(train(made.data, tmp_path / "run", *FLAGS, *MORE, file_limit=150_000), tmp_path / "run", last)
    check_continues(made, tmp_path / "run", tmp_path / "whole")
