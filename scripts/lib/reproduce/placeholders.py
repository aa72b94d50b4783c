"""What {placeholders} in the commands of recipes stand for: runs, data, results and the user's words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nat_plugin.errors import UserError
from scripts.lib.reproduce.catalogue import load_recipe
from scripts.lib.reproduce.recipe import RecipeRow

if TYPE_CHECKING:
    from scripts.lib.reproduce.planning import Planner

_PLACEHOLDER = re.compile(r"\{(\w+)(?::([\w:/.]+))?\}")
_UPDATES = "fairseq.max_update="


class Placeholders:
    """Fills in placeholders for one recipe and one seed.

    Args:
        planner: plans what they name, with the steps before.
    """

    def __init__(self, planner: Planner) -> None:
        self.planner, self.recipe, self.scale = planner, planner.recipe, planner.scale
        # Those that stand for any number of words.
        self._many: dict[str, Callable[[list[str]], list[str]]] = {
            "{settings}": lambda _: self._settings(),
            "{updates}": lambda _: self._updates(),
            "{settings_without_updates}": lambda _: [
                word for word in self._settings() if not word.startswith(_UPDATES)
            ],
            "{students}": self._students,
            "{plots}": lambda _: [] if self.scale.plots else ["--no-plot"],
        }

    def fill(self, words: Sequence[str], row: RecipeRow | None) -> tuple[list[str], list[str]]:
        """Words with their placeholders filled in, and the steps that must come before.

        Args:
            row: that the words belong to, if any: ``{run}`` and ``{tuned}`` are its own.

        Raises:
            UserError: a placeholder means nothing.
        """
        filled: list[str] = []
        needs: list[str] = []
        for word in words:
            if word in self._many:
                filled += self._many[word](needs)
            else:
                filled.append(_PLACEHOLDER.sub(lambda match: self._one(match, row, needs), word))
        return filled, needs

    def _settings(self) -> list[str]:
        """The user's words for scripts/train.py."""
        return [*self.scale.seed_words, *self.scale.settings]

    def _updates(self) -> list[str]:
        """For scripts that work out the updates of each training from one number."""
        numbers = [word.removeprefix(_UPDATES) for word in self._settings() if word.startswith(_UPDATES)]
        return [part for number in numbers for part in ("--updates", number)]

    def _students(self, needs: list[str]) -> list[str]:
        """After the user's words, for scripts that train students: what these begin with."""
        words, steps = self.planner.systems.students_words()
        needs += steps
        return words

    def _one(self, match: re.Match[str], row: RecipeRow | None, needs: list[str]) -> str:
        name, argument = match[1], match[2]
        planner, systems, scale = self.planner, self.planner.systems, self.scale

        def of(step: tuple[Any, str]) -> Any:
            needs.append(step[1])
            return step[0]

        def data() -> Any:
            return of(systems.data(argument or "raw"))

        makers: dict[str, Callable[[], object]] = {
            "run": lambda: of(systems.train(argument or _system_of(row, match[0]))),
            "checkpoint": lambda: of(systems.train(argument)) / "checkpoints" / "averaged.pt",
            "data": lambda: data().path,
            "root": lambda: self._runs() / data().name,
            "dataset": lambda: data().word.partition("=")[2],
            "test": lambda: of(planner.translate(RecipeRow(argument, argument, argument))),
            "row": lambda: of(planner.translate(self._row(argument))),
            "tuned": lambda: of(planner.tune(self._row(argument) if argument else _needed(row, match[0]))),
            "result": lambda: of(planner.script(self.recipe.scripts[argument], row)),
            "size": lambda: scale.size,
            "budget": lambda: scale.budget,
            "runs": self._runs,
            "output": planner.output,
            "results": lambda: scale.of_seed(scale.results),
            "teacher_words": lambda: shlex.join([*scale.seed_words, *scale.settings_of("teacher")]),
            "beginning": lambda: "_".join(["", scale.beginning]) if systems.students_words()[0] else "",
        }
        if name not in makers:
            raise UserError(f"{self.recipe.name} has the placeholder {match[0]}: choose one of {', '.join(makers)}.")
        try:
            return str(makers[name]())
        except KeyError as error:
            raise UserError(f"{self.recipe.name} has the placeholder {match[0]}: there is no {error}.") from error

    def _runs(self) -> Path:
        return self.scale.of_seed(self.scale.runs)

    def _row(self, name: str) -> RecipeRow:
        """A row of this recipe, or of another one, as ``axe_table2/ce``."""
        other, _, key = name.rpartition("/")
        return (load_recipe(other, self.scale.kind).on(self.scale.raw.name) if other else self.recipe).rows[key]


def _system_of(row: RecipeRow | None, placeholder: str) -> str:
    found = _needed(row, placeholder)
    if found.system is None:
        raise UserError(f"{placeholder} stands in a row without a system: name one, as {{run:teacher}}.")
    return found.system


def _needed(row: RecipeRow | None, placeholder: str) -> RecipeRow:
    if row is None:
        raise UserError(f"{placeholder} stands outside of a row: name what is meant, as {{run:teacher}}.")
    return row
