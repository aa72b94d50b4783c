"""At which scale a recipe runs: data, size and budget of the models, seeds, and where everything goes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from nat_plugin.errors import UserError
from scripts.lib.config import CONFIG_FOLDER
from scripts.lib.recipe_options import distilled_folder
from scripts.lib.reproduce.recipe import Recipe, System

DATA_FOLDER = Path("data-bin")
_PAPERS_DATA = ("wmt", "iwslt")  # as all papers here call theirs
_DIRECTION = re.compile(r".*_([a-z]{2}_[a-z]{2})")


@dataclass(frozen=True)
class DataSet:
    """A folder of prepared data, there or still to be made."""

    name: str
    path: Path

    @property
    def word(self) -> str:
        """For scripts/train.py."""
        known = _read_config(self.name)
        if known and Path(known["path"]) == self.path:
            return f"data={self.name}"
        return f"data={self.path}" if "/" in str(self.path) else f"data=./{self.path}"  # no name of configs/data


@dataclass(frozen=True)
class Scale:
    """The user's choices, and what follows from them.

    Attributes:
        kind: ``paper`` or ``small``: which of ``{small: …, paper: …}`` counts.
        raw: the data that recipes begin with.
        runs: the folder of all runs, and of distilled data unless it is the usual one.
        output: the folder of results.
        settings: words for scripts/train.py, for all trainings alike.
        own_settings: such words for the trainings of one system, which stand above those for all.
        encoder_from: the system whose encoder students begin with; empty: they begin at random.
        plots: whether scripts draw.
    """

    kind: str
    raw: DataSet
    size: str
    budget: str
    runs: Path
    output: Path
    settings: tuple[str, ...] = ()
    own_settings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    encoder_from: str = ""
    plots: bool = True
    seed: int = 1

    def with_seed(self, seed: int) -> Scale:
        """The same for another seed, whose students have a folder of their own."""
        return replace(self, seed=seed)

    @property
    def results(self) -> Path:
        """The folder of the tables of these data and this size; students that begin otherwise have one of their own."""
        return self.output / "_".join(filter(None, (self.raw.name, self.size, self.beginning)))

    @property
    def beginning(self) -> str:
        """Tells runs and tables of students that begin with an encoder from those that begin at random."""
        named = "" if self.encoder_from in ("", "teacher") else f"_{self.encoder_from}"
        return f"encoder{named}" if self.encoder_from else ""

    def settings_of(self, system: str) -> list[str]:
        """The words for the training of a system: those for all but where it has its own."""
        own = self.own_settings.get(system, ())
        keys = {_key(word) for word in own}
        return [*(word for word in self.settings if _key(word) not in keys), *own]

    def run_root(self, system: System) -> Path:
        """Where the runs of a system lie: teachers of the first seed serve all."""
        return self.runs if system.is_shared else self.of_seed(self.runs)

    def of_seed(self, folder: Path) -> Path:
        """Where in a folder the files of this seed lie: those of the first in the folder itself."""
        return folder if self.seed == 1 else folder / f"seed{self.seed}"

    @property
    def seed_words(self) -> list[str]:
        """The seed as words for scripts/train.py, of which it is the default."""
        return [] if self.seed == 1 else [f"fairseq.seed={self.seed}"]

    def data(self, kind: str, teachers: dict[str, System]) -> DataSet:
        """The data that a system is trained on.

        Args:
            kind: see :class:`System`.
            teachers: systems by name.
        """
        if kind == "raw":
            return self.raw
        what, _, teacher = kind.partition(":")
        ending = f"_{what}"
        if teacher:
            ending += f"_{teachers[teacher].suffix or teacher}"
        name = self.raw.name + ending
        if what != "kd":
            return DataSet(name, self.raw.path.with_name(name))
        return DataSet(name, distilled_folder(self.runs, self.raw.path, name))


def choose_scale(
    recipe: Recipe,
    *,
    data: str,
    direction: str | None,
    size: str | None,
    budget: str | None,
    runs: Path,
    output: Path,
    settings: Sequence[str],
    own_settings: Mapping[str, Sequence[str]],
    encoder_from: str = "",
    plots: bool = True,
) -> Scale:
    """What a recipe runs at.

    Args:
        data: a file of configs/data with or without its direction, a prepared folder, or a data set of the paper.
        direction: of the languages, as ``en_de``; by default the recipe's.
        size, budget: by default the paper's for its data sets, and ``tiny`` and ``cpu`` for others.
        encoder_from, plots: see :class:`Scale`.

    Raises:
        UserError: data and direction do not agree.
    """
    raw = find_data(data, direction, recipe.direction)
    is_paper = raw.name in recipe.data or raw.name.startswith(_PAPERS_DATA)
    paper_size, paper_budget = recipe.scales.get(raw.name, recipe.scales[""])
    return Scale(
        kind="paper" if is_paper else "small",
        raw=raw,
        size=size or (paper_size if is_paper else "tiny"),
        budget=budget or (paper_budget if is_paper else "cpu"),
        runs=runs,
        output=output,
        settings=tuple(settings),
        own_settings={system: tuple(words) for system, words in own_settings.items()},
        encoder_from=encoder_from,
        plots=plots,
    )


def find_data(name: str, direction: str | None, default: str) -> DataSet:
    """The data set that --data and --direction mean; its folder need not be there yet.

    Raises:
        UserError: the name says another direction.
    """
    if "/" in name:
        folder = Path(name)
        return DataSet(folder.resolve().name, folder)
    said = _DIRECTION.fullmatch(name)
    if said or _read_config(name) or (DATA_FOLDER / name).is_dir():
        if direction and said and said[1] != direction:
            raise UserError(f"--data {name} is not {direction}: drop --direction, or name other data.")
        chosen = name
    else:
        chosen = f"{name}_{direction or default}"
    known = _read_config(chosen)
    return DataSet(chosen, Path(known["path"]) if known else DATA_FOLDER / chosen)


def _key(word: str) -> str:
    return word.partition("=")[0]


def _read_config(name: str) -> dict[str, Any] | None:
    path = CONFIG_FOLDER / "data" / f"{name}.yaml"
    if name == "folder" or not path.is_file():
        return None
    record: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["data"]
    return record
