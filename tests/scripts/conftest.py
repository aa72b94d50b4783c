"""Scripts start fairseq's commands, and each other, in forks; a real teacher, trained once for all that need one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import preloaded
from tests.scripts import tiny_training


@pytest.fixture(scope="session")
def preloaded_programs() -> Iterator[Path]:
    """See :mod:`tests.preloaded`."""
    with preloaded.programs() as folder:
        yield folder


@pytest.fixture(scope="package", autouse=True)
def _commands_are_forked(preloaded_programs: Path) -> Iterator[None]:
    with preloaded.in_use(preloaded_programs):
        yield


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of a few short sentences."""
    return tiny_training.make_data(tmp_path_factory.mktemp("tiny") / "data")


@pytest.fixture(scope="session")
def teacher_run(tiny_data: Path, preloaded_programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of a finished teacher; tests must not change it."""
    run = tmp_path_factory.mktemp("teacher") / "run"
    with preloaded.in_use(preloaded_programs):  # the whole session's: made before what one package has
        tiny_training.train(tiny_training.settings(tiny_data, run, max_update=tiny_training.TEACHER_UPDATES))
    return run
