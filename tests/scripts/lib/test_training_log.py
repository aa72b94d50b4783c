"""The losses in a training's log, interrupted or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from nat_plugin.errors import UserError
from scripts.lib.training_log import TrainingLog, read_curves


def inner(updates: int, loss: float) -> str:
    return f'2026-01-01 00:00:00 | INFO | train_inner | {{"epoch": 1, "loss": "{loss}", "num_updates": "{updates}"}}'


def valid(updates: int, loss: float) -> str:
    return f'… | INFO | valid | {{"epoch": 1, "valid_loss": "{loss}", "valid_num_updates": "{updates}"}}'


def write(folder: Path, *lines: str) -> Path:
    path = folder / "train.log"
    path.write_text("\n".join(["| INFO | fairseq_cli.train | {not a line of numbers}", *lines]), encoding="utf-8")
    return path


def test_losses_by_updates(tmp_path: Path) -> None:
    whole_epoch = '… | INFO | train | {"epoch": 1, "train_loss": "9", "train_num_updates": "100"}'
    found = read_curves(write(tmp_path, inner(50, 5.5), inner(100, 4.0), valid(100, 4.5), whole_epoch))
    assert found.training == {50: 5.5, 100: 4.0}
    assert found.validation == {100: 4.5}


def test_what_was_done_again_counts_once(tmp_path: Path) -> None:
    """Stopped after 150 updates, continued from the checkpoint at 100."""
    before = [inner(50, 5), inner(100, 4), valid(100, 4.5), inner(150, 3), valid(150, 3.5)]
    found = read_curves(write(tmp_path, *before, inner(110, 3.9), valid(110, 4)))
    assert found.training == {50: 5, 100: 4, 110: 3.9}
    assert found.validation == {100: 4.5, 110: 4}


def test_refuses_a_log_without_losses(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no loss"):
        read_curves(write(tmp_path))
    with pytest.raises(UserError, match=r"nowhere.log cannot be read .*scripts/train\.py"):
        read_curves(tmp_path / "nowhere.log")


def test_a_torn_line_harms_none_after_it(tmp_path: Path) -> None:
    path = write(tmp_path, inner(50, 5), inner(100, 4)[:-9])
    log = TrainingLog(path, None)
    log.take(inner(60, 4.5) + "\n")
    log.close()
    assert path.read_text(encoding="utf-8").count("\n") == 4  # the torn line was ended first
    assert read_curves(path).training == {50: 5, 60: 4.5}


def test_a_line_that_ran_into_a_torn_one_is_passed_over(tmp_path: Path) -> None:
    """As logs of old have them."""
    found = read_curves(write(tmp_path, inner(50, 5), inner(60, 4.5)[:-9] + inner(60, 4.5), inner(70, 4)))
    assert found.training == {50: 5, 70: 4}
