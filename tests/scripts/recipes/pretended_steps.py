"""In place of the scripts that a recipe runs: notes each command, and writes what its script would."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.lib.config import compose_run
from tests.scripts.lib.test_training_log import inner, valid


class PretendedSteps:
    """Stands in for :func:`scripts.lib.steps.start`; a recipe's test says what a script other than train.py writes.

    A training that is there already leaves its checkpoint as it is.
    """

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.failing = ""
        self.status = 0

    def __call__(self, command: Sequence[str], threads: int | None = None) -> PretendedSteps:
        self.commands.append(list(command))
        script, *words = command
        self.status = int(bool(self.failing) and self.failing in command)
        if script == "train.py":
            self._train(Path(compose_run(words)["run"]))
        elif not self.status:
            for path, row in self.written(script, words):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps([row]))
        return self

    def wait(self) -> int:
        return self.status

    def written(self, script: str, words: Sequence[str]) -> list[tuple[Path, dict[str, Any]]]:
        """The files with one row each that ``script`` writes, given its arguments."""
        raise NotImplementedError

    @property
    def scripts(self) -> list[str]:
        return [command[0] for command in self.commands]

    @staticmethod
    def _train(run: Path) -> None:
        checkpoint = run / "checkpoints" / "averaged.pt"
        if checkpoint.exists():
            return
        checkpoint.parent.mkdir(parents=True)
        checkpoint.write_text("")
        (run / "train.log").write_text("\n".join([inner(50, 2.5), inner(100, 1.5), valid(100, 1.75)]))
