"""Settings for all tests: one thread (two on busy cores are slower), reproducible hypothesis runs."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import settings

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # looked at when Triton is imported, by whichever test comes first

END_TO_END = "tests/end_to_end/"

settings.register_profile("project", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("project")

# A shell starts background jobs with SIGINT ignored, and their children could not be stopped with it: tests do that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with whole commands first: the last to begin should be short, or one worker keeps the others waiting."""
    long = {item.path for item in items if item.get_closest_marker("end_to_end")}
    items.sort(key=lambda item: item.path not in long)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of two workers one runs tests/end_to_end: its corpus and models take half a minute, and are made by each."""
    from xdist.scheduler import LoadFileScheduling

    if config.getoption("dist") != "loadfile" or len(config.getoption("tx")) > 2:
        return None

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return END_TO_END if nodeid.startswith(END_TO_END) else super()._split_scope(nodeid)

    return Scheduling(config, log)


def pytest_collection_finish() -> None:
    """What is imported by now stays: walking through it again and again took an eighth of the time of test_configs."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(autouse=True)
def _everything_is_logged() -> None:
    """Scripts, run in the process of the tests, make loggers quiet; which ran before depends on the worker."""
    logging.getLogger().setLevel(logging.INFO)
    for name in ("fairseq", "hydra", "nat_plugin"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    """torch.distributed puts its rank before what a later test prints of an error; folders are a test's own matter."""
    hook, folder = sys.excepthook, os.getcwd()
    yield
    sys.excepthook = hook
    os.chdir(folder)


@pytest.fixture(autouse=True)
def _one_thread_and_seed() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(1)
