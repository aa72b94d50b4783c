"""Benchmarks load the backends' choice from the environment: tests leave it as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from nat_plugin.alignments.backends import VARIABLE


@pytest.fixture(autouse=True)
def _same_backend_after() -> Iterator[None]:
    before = os.environ.get(VARIABLE)
    yield
    if before is None:
        os.environ.pop(VARIABLE, None)
    else:
        os.environ[VARIABLE] = before
