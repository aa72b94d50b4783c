"""A real teacher, trained once for all tests of scripts that need one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scripts import tiny_training


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of a few short sentences."""
    return tiny_training.make_data(tmp_path_factory.mktemp("tiny") / "data")


@pytest.fixture(scope="session")
def teacher_run(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of a finished teacher; tests must not change it."""
    run = tmp_path_factory.mktemp("teacher") / "run"
    tiny_training.train(tiny_training.settings(tiny_data, run, max_update=tiny_training.TEACHER_UPDATES))
    return run
