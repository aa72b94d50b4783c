"""One command of ours in a recipe, what it makes, and whether that is there already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write
from scripts.lib.cli import shell
from scripts.lib.config import compose_run
from scripts.lib.runs import Run, config_differences
from scripts.train import training_limits


@dataclass(frozen=True)
class Step:
    """A script to be run.

    Attributes:
        title: what it does, for the user.
        command: the script, a file of scripts/, and its words.
        result: the file that is there once it has succeeded.
        others: further files that the same command writes, which other figures are read from.
        needs: keys of the steps whose results it reads.
        is_alone: nothing may run beside it, because it measures time.
        is_named: the name of the result says all that its command does, so that the file alone shows that it is done.
    """

    title: str
    command: tuple[str, ...]
    result: Path
    needs: tuple[str, ...] = ()
    is_alone: bool = False
    is_named: bool = True
    others: tuple[Path, ...] = ()

    @property
    def key(self) -> str:
        """Two steps of one key are the same work."""
        return str(self.result)

    def made_at(self) -> float | None:
        """When its results were made, the oldest of them; None where one is not there."""
        results = (self.result, *self.others)
        if not all(each.is_file() and (self.is_named or self._is_noted(each)) for each in results):
            return None
        return min(each.stat().st_mtime for each in results)

    def note(self) -> None:
        """Remember that the results are of this command."""
        for result in () if self.is_named else (self.result, *self.others):
            with atomic_write(_command_file(result)) as handle:
                handle.write(shell(self.command) + "\n")

    def _is_noted(self, result: Path) -> bool:
        """Whether a result is of this command, and nobody has written another in its place since."""
        note = _command_file(result)
        try:
            noted = note.read_text(encoding="utf-8").removesuffix("\n")
            return noted == shell(self.command) and note.stat().st_mtime >= result.stat().st_mtime
        except OSError:
            return False

    def check_start(self, made_of: float) -> None:
        """Refuse what would not be what it is called; here nothing.

        Args:
            made_of: when the last of the results that it reads was made.
        """


@dataclass(frozen=True)
class Training(Step):
    """scripts/train.py, whose result is the checkpoint that translations are made with."""

    @property
    def run(self) -> Run:
        """Its directory; ``result`` is the directory's ``finished.json``."""
        return Run(self.result.parent)

    def made_at(self) -> float | None:
        """When the checkpoint was written, of a training that has come to the end which the command wants."""
        if not self.run.finished_file.is_file() or not self.run.config_file.is_file():
            return None
        config = compose(self.command[1:])
        if not self.run.is_finished(training_limits(config)) or config_differences(self.run.read_config(), config):
            return None
        averages = config["average"]["kind"] != "none"
        if averages and not self.run.averaged_checkpoint.is_file():
            return None
        return self.run.chosen_checkpoint().stat().st_mtime

    def check_start(self, made_of: float) -> None:
        """Refuse to go on with a training whose data were made anew since.

        Raises:
            UserError: they were.
        """
        last = self.run.last_checkpoint
        if last.is_file() and last.stat().st_mtime < made_of:
            raise UserError(
                f"{self.run.folder} was trained before what it is made of was made anew: move it away to train it "
                f"again, or `touch {self.run.checkpoints}/*` where nothing has changed."
            )


def _command_file(result: Path) -> Path:
    return result.with_name(f".{result.name}.command")


@cache
def compose(words: tuple[str, ...]) -> dict[str, Any]:
    """The configuration that scripts/train.py makes of its words; not to be changed."""
    return compose_run(words)


class Graph:
    """Steps by their keys, each there once, in the order in which they were first asked for."""

    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}

    def add(self, step: Step) -> str:
        """Take in a step, unless it is there already, and say by which key: a command with several results is one step.

        Raises:
            UserError: another step makes the same result with another command.
        """
        same = next((each for each in self.steps.values() if each.command == step.command), None)
        if same and same.key != step.key:
            others = tuple(dict.fromkeys((*same.others, step.result)))
            needs = tuple(dict.fromkeys((*same.needs, *step.needs)))
            self.steps[same.key] = replace(same, others=others, needs=needs)
            return same.key
        known = self.steps.setdefault(step.key, step)
        if known.command != step.command:
            raise UserError(
                f"two commands make {step.key}: `{shell(known.command)}` and `{shell(step.command)}`; give both "
                "systems the same words, or one of them another suffix in configs/systems.yaml."
            )
        return step.key

    def made_of(self, step: Step) -> float | None:
        """When the last of what a step reads was made; None where something of it is not done."""
        times = [self.done_at(self.steps[key]) for key in step.needs]
        return None if None in times else max((time for time in times if time is not None), default=0.0)

    def done_at(self, step: Step) -> float | None:
        """When a step was done; None where it is not, or what it reads has been made anew."""
        made_of = self.made_of(step)
        made_at = None if made_of is None else step.made_at()  # whose data may have been deleted
        return None if made_of is None or made_at is None or made_at < made_of else made_at

    def closure(self, keys: Iterable[str]) -> Mapping[str, Step]:
        """Steps and all that they need, in the order of the graph."""
        wanted: set[str] = set()
        waiting = list(keys)
        while waiting:
            key = waiting.pop()
            if key not in wanted:
                wanted.add(key)
                waiting += self.steps[key].needs
        return {key: step for key, step in self.steps.items() if key in wanted}
