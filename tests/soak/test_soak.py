"""200 kills over prepare, distill, train and tune, with nothing lost and the same result; and a short run of the same.

make soak                          # SOAK_KILLS=200, SOAK_SEED: a new one, printed
SOAK_KILLS=30 SOAK_SEED=7 make soak
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.preloaded import programs
from tests.soak.killing import Soak
from tests.soak.pipeline import Scale

pytestmark = pytest.mark.end_to_end


@pytest.mark.timeout(1800)  # on a busy machine
def test_ten_kills_lose_nothing(tmp_path: Path) -> None:
    small = Scale(sentences=60, updates=(30, 24), interval=6, shards=6, multipliers=3)
    with programs() as folder:
        soak = Soak(tmp_path, small, seed=3, programs=folder)
        soak.run(kills=10, of_a_project=10)
    assert soak.kills == 10


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_many_kills_lose_nothing(tmp_path: Path) -> None:
    kills = int(os.environ.get("SOAK_KILLS") or 200)
    seed = int(os.environ.get("SOAK_SEED") or time.time())
    print(f"{kills} kills, SOAK_SEED={seed}, in {tmp_path}", flush=True)
    started = time.monotonic()
    large = Scale(sentences=300, updates=(400, 400), interval=20, shards=12, multipliers=6)
    with programs() as folder:
        soak = Soak(tmp_path, large, seed, programs=folder)
        soak.run(kills, of_a_project=25)
    for what, number in sorted(soak.killed.items()):
        print(f"{number:4d}  {what}")
    print(f"{soak.kills} kills in {(time.monotonic() - started) / 60:.0f} minutes, nothing lost (SOAK_SEED={seed})")
