"""From a recipe and a scale to steps: data → teacher → distilled data → students → translations → figures."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from scripts.lib.evaluation import describe_changes, result_stem
from scripts.lib.reproduce.placeholders import Placeholders
from scripts.lib.reproduce.recipe import Recipe, RecipeRow, Script, System
from scripts.lib.reproduce.scale import Scale
from scripts.lib.reproduce.steps import Graph, Step
from scripts.lib.reproduce.training_steps import SystemSteps
from scripts.lib.trained_model import NOTHING_TUNED


@dataclass
class PlannedRow:
    """One row with one seed: where its figures will stand.

    Attributes:
        translation: of scripts/evaluate.py; None where no system translates.
        run: the system's.
        training: the key of its step.
        values: measure → its file or files.
        needs: steps after which it can be read.
    """

    row: RecipeRow
    seed: int
    translation: Path | None = None
    run: Path | None = None
    training: str | None = None
    values: dict[str, tuple[Path, Path]] = field(default_factory=dict)
    needs: list[str] = field(default_factory=list)


@dataclass
class PlannedRecipe:
    """A recipe with its rows, and the steps that end in it."""

    recipe: Recipe
    scale: Scale
    rows: list[PlannedRow]
    scripts: list[str]
    """Steps of scripts that no row reads, such as plots."""
    latency: Path | None = None
    trained: set[str] = field(default_factory=set)
    """Names of the systems that it trains."""

    @property
    def needs(self) -> list[str]:
        """Keys of everything that it ends in."""
        times = [str(self.latency)] if self.latency else []
        return [*(key for row in self.rows for key in row.needs), *self.scripts, *times]


class Planner:
    """Adds the steps of recipes to a graph.

    Args:
        graph: what several recipes share.
        systems: by name, of the scale's kind.
    """

    def __init__(self, graph: Graph, systems: Mapping[str, System], recipe: Recipe, scale: Scale) -> None:
        self.graph, self.recipe, self.scale = graph, recipe.on(scale.raw.name), scale
        self.systems = SystemSteps(graph, systems, scale)
        self.placeholders = Placeholders(self)

    def plan(self, seeds: Sequence[int], rows: Sequence[str] | None = None) -> PlannedRecipe:
        """Everything about a recipe.

        Args:
            rows: those that are wanted; all by default.

        Raises:
            UserError: the recipe names what there is not.
        """
        chosen = [row for key, row in self.recipe.rows.items() if rows is None or key in rows]
        planned, scripts = [], []
        for seed in seeds:
            of_seed = Planner(self.graph, self.systems.systems, self.recipe, self.scale.with_seed(seed))
            planned += [of_seed.row(row) for row in chosen]
            scripts += [of_seed.script(script)[1] for script in (_of_no_row(self.recipe) if rows is None else ())]
            self.systems.trained |= of_seed.systems.trained
        result = PlannedRecipe(self.recipe, self.scale, planned, scripts, trained=self.systems.trained)
        if self.recipe.latency and 1 in seeds and any(map(_is_timed, chosen)):  # times are of the first seed
            result.latency = self.latency(chosen)
        return result

    def translate(self, row: RecipeRow) -> tuple[Path, str]:
        """The results of a row's translation, and the step that makes them."""
        assert row.system is not None
        run, training = self.systems.train(row.system)
        overrides, needs = self._flags(row.decode, row)
        words = ["evaluate.py", str(run)]
        changes = describe_changes(overrides)
        suffix = "_".join(changes)
        if row.split != "test":
            words += ["--split", row.split]
        if overrides:
            words += ["--set", *(f"{key}={_shown(value)}" for key, value in overrides.items())]
        if row.tune:
            tuned, tuning = self.tune(row)
            needs.append(tuning)
            suffix = "_".join([*changes, f"tuned_{tuned.stem.removeprefix('tune_')}"])
            words += ["--tuned", str(tuned), "--suffix", suffix]
        else:
            words += ["--tuned", str(NOTHING_TUNED)]  # whatever the user has tuned beside the run
        result = run / "results" / f"{result_stem(row.split, suffix)}.json"
        title = f"translation: {result}"
        return result, self.graph.add(Step(title, tuple(words), result, (training, *needs), is_named=False))

    def tune(self, row: RecipeRow) -> tuple[Path, str]:
        """Grids tried on the validation set: what scripts/tune.py writes, and the step."""
        assert row.system is not None
        run, training = self.systems.train(row.system)
        grids, needs = self.placeholders.fill(row.tune, row)
        flags = [grid.partition("=")[0] for grid in grids]
        study = "_".join(["tune", *map(_study_part, grids)])
        result = run / "results" / f"{study}.json"
        words = ["tune.py", str(run), *grids, "--no-store", "--no-plot"]
        if study != "_".join(["tune", *flags]):
            words += ["--study", str(result.with_suffix(".journal"))]
        return result, self.graph.add(
            Step(f"tuning of {', '.join(flags)}", tuple(words), result, (training, *needs), is_named=False)
        )

    def _flags(self, flags: Mapping[str, Any], row: RecipeRow | None) -> tuple[dict[str, Any], list[str]]:
        filled, needs = {}, []
        for key, value in flags.items():
            if isinstance(value, str):
                [value], more = self.placeholders.fill([value], row)
                value = yaml.safe_load(value)
                needs += more
            filled[key] = value
        return filled, needs

    def script(self, script: Script, row: RecipeRow | None = None) -> tuple[Path, str]:
        """The JSON that a script of the recipe writes, and its step."""
        words, needs = self.placeholders.fill(script.command, row)
        [result], more = self.placeholders.fill([script.result], row)
        needs += more + [self.systems.train(name)[1] for name in script.needs]
        title = f"{self.recipe.name}: {script.name}"
        step = Step(title, tuple(words), Path(result), tuple(dict.fromkeys(needs)), is_named=False)
        return Path(result), self.graph.add(step)

    def row(self, row: RecipeRow) -> PlannedRow:
        """Where the figures of a row will stand."""
        planned = PlannedRow(row, self.scale.seed)
        if row.system:
            planned.run, planned.training = self.systems.train(row.system)
            planned.translation, key = self.translate(row)
            planned.needs.append(key)
        for measure, value in row.values.items():
            first = self._read_from(value.of, row, planned.needs)
            second = self._read_from(value.second_of, row, planned.needs) if value.second_of else first
            planned.values[measure] = (first, second)
        if row.trained:
            planned.run = self._trained(row)[0]
        return planned

    def _trained(self, row: RecipeRow) -> tuple[Path, list[str]]:
        """The run of what translates in a row, and the steps that train it."""
        if row.system:
            run, training = self.systems.train(row.system)
            return run, [training]
        [text], needs = self.placeholders.fill([row.trained], row)
        for value in row.values.values():
            self._read_from(value.of, row, needs)
        return Path(text), needs

    def _read_from(self, of: str, row: RecipeRow, needs: list[str]) -> Path:
        if of in self.recipe.scripts:
            path, key = self.script(self.recipe.scripts[of], row)
            needs.append(key)
            return path
        [path_text], more = self.placeholders.fill([of], row)
        needs += more
        return Path(path_text)

    def latency(self, rows: Iterable[RecipeRow]) -> Path:
        """One measurement of all rows' times, each as it translates; the baseline comes first."""
        assert self.recipe.latency is not None
        baseline = self.recipe.latency.baseline
        timed = {row.key: row for row in rows if _is_timed(row)}
        needs: list[str] = []
        if baseline in self.recipe.rows:
            timed = {baseline: self.recipe.rows[baseline], **timed}
            specs = [self._timed(row, needs) for row in timed.values()]
        else:
            run, training = self.systems.train(baseline)
            needs.append(training)
            specs = [self._timed(row, needs) for row in timed.values()]
            untuned = f"{run}:tuned={NOTHING_TUNED},name="
            plain = next((spec for spec in specs if spec.startswith(untuned)), f"{untuned}baseline")
            specs = [plain, *(spec for spec in specs if spec != plain)]
        result = self.output().with_suffix(".latency.json")
        words = ("benchmark_latency.py", *specs, *self.recipe.latency.arguments, "--output", str(result))
        title = f"{self.recipe.name}: time of a sentence"
        step = Step(title, words, result, tuple(dict.fromkeys(needs)), is_alone=True, is_named=False)
        self.graph.add(step)
        return result

    def _timed(self, row: RecipeRow, needs: list[str]) -> str:
        """A row's system for scripts/benchmark_latency.py, under the row's name; adds what it needs."""
        run, trained = self._trained(row)
        flags, more = self._flags(row.decode, row)
        needs += [*trained, *more]
        flags.setdefault("tuned", str(NOTHING_TUNED))
        if row.tune:
            tuned, tuning = self.tune(row)
            needs.append(tuning)
            flags["tuned"] = str(tuned)
        return f"{run}:" + ",".join(f"{key}={_shown(value)}" for key, value in [*flags.items(), ("name", row.key)])

    def output(self) -> Path:
        """The beginning of the names of files that belong to the recipe."""
        seed = "" if self.scale.seed == 1 else f"_seed{self.scale.seed}"
        return self.scale.results / f"{self.recipe.name}{seed}"


def _study_part(grid: str) -> str:
    """A grid in the name of its study, which tells a range of its own from the usual one that another row may have."""
    flag, _, values = grid.partition("=")
    return f"{flag}_{values.replace(':', '-')}" if ":" in values else flag


def _is_timed(row: RecipeRow) -> bool:
    return row.timed and bool(row.system or row.trained)


def _of_no_row(recipe: Recipe) -> list[Script]:
    """Scripts that stand for themselves, such as those that draw."""
    read = {value.of for row in recipe.rows.values() for value in row.values.values()}
    return [
        script
        for name, script in recipe.scripts.items()
        if name not in read and not _is_of_row(script) and not _is_asked_for(recipe, script)
    ]


def _is_of_row(script: Script) -> bool:
    """Whether it means something else in each row."""
    words = " ".join([*script.command, script.result])
    return "{run}" in words or "{tuned}" in words


def _is_asked_for(recipe: Recipe, script: Script) -> bool:
    """Whether it is run only because something else reads it."""
    text = " ".join(
        [
            *(word for other in recipe.scripts.values() for word in other.command),
            *(str(value) for row in recipe.rows.values() for value in [*row.decode.values(), *row.tune]),
        ]
    )
    return f"{{result:{script.name}}}" in text


def _shown(value: Any) -> str:
    """As scripts/evaluate.py reads it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def shown_command(step: Step) -> str:
    """As a user would type it."""
    script, *words = step.command
    return shlex.join([f"scripts/{script}", *words])
