"""A process that works at a shared study, with a function of two numbers in place of translating.

    python -m tests.scripts.lib.tuning.worker JOURNAL SAMPLER LOG [HANGING]

Each combination is written to LOG when it is begun. With HANGING the process makes that file at its fourth combination,
and waits to be killed. Without, it begins when a second one is there.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from scripts.lib.tuning.space import Settings, Space
from scripts.lib.tuning.study import SharedStudy

GRID = ["a=0:4:1", "b=0.0:0.5:0.5"]
SPANS = ["a=0:40", "b=0.0:1.0"]
TRIALS = 14


def study(journal: Path, sampler: str) -> SharedStudy:
    """The same for all workers of a journal."""
    grid = sampler == "grid"
    space = Space.parse(GRID if grid else SPANS, sampler)
    return SharedStudy(journal, space, about={"of": "tests"}, trials=None if grid else TRIALS, poll_seconds=0.05)


def score(settings: Settings) -> float:
    """Highest at a = 2 and b = 0.5."""
    return float(-((settings["a"] - 2) ** 2) - abs(settings["b"] - 0.5))


def work(shared: SharedStudy, log: Path, hanging: Path | None = None, seconds: float = 0.0) -> list[Settings]:
    """Measure until all is measured; returns what this worker measured."""
    begun = []
    for claim in shared.claims():
        with open(log, "a", encoding="utf-8") as handle:
            handle.write(json.dumps(claim.settings) + "\n")
        begun.append(claim.settings)
        if hanging and len(begun) == 4:
            hanging.touch()
            time.sleep(600)
        time.sleep(seconds)
        shared.finish(claim, score(claim.settings), {"bleu": score(claim.settings)})
    return begun


def main(journal: Path, sampler: str, log: Path, hanging: Path | None = None) -> None:
    with study(journal, sampler) as shared:
        while hanging is None and len(list(journal.with_name(f"{journal.name}.workers").iterdir())) < 2:
            time.sleep(0.01)
        own = work(shared, log, hanging, seconds=0.1)
        print(json.dumps({"own": own, "all": shared.measured()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(Path, sys.argv[3:]))
