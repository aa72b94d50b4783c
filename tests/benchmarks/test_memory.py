"""The high-water mark of memory, in a process where freed blocks go back at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import malloc
from nat_plugin.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
MEASURE = """
import torch
from scripts.lib.measuring.memory import extra_peak
held = torch.ones(2**23)  # 32 MiB
def work():
    first = held + 1
    second = first * 2
    del first
    third = second + held
print(extra_peak(work) / 2**25)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_two_tensors_at_once_are_two_tensors() -> None:
    environment = {"PATH": "", "OMP_NUM_THREADS": "1", **malloc.SETTINGS["return"]}
    found = subprocess.run(
        [sys.executable, "-c", MEASURE], env=environment, cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert float(found.stdout) == pytest.approx(2, abs=0.1)


def test_a_setting_reaches_the_process_that_measures(tmp_path: Path) -> None:
    results = malloc.run_under(
        "keep",
        "benchmarks.alignments",
        ["--quick", "--parts", "viterbi", "--backends", "torch", "--losses", "axe"],
        threads=1,
    )
    assert results["times"][0]["environment"] == malloc.SETTINGS["keep"]


def test_a_process_that_fails_is_one_sentence() -> None:
    with pytest.raises(UserError, match="malloc setting default failed"):
        malloc.run_under("default", "benchmarks.no_such_module", [], threads=1)
