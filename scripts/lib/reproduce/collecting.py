"""What the steps of a recipe left behind, as one row of figures for each row of the table and each seed."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import jmespath

from nat_plugin.errors import UserError
from scripts.lib.generation import displayed_path
from scripts.lib.reproduce.planning import PlannedRecipe, PlannedRow
from scripts.lib.reproduce.recipe import Recipe, Value
from scripts.lib.reproduce.steps import Graph
from scripts.lib.results import Row
from scripts.lib.training_facts import training_facts


def collect(planned: PlannedRecipe, graph: Graph, command: str, done: Container[str]) -> list[Row]:
    """The rows whose figures are there.

    Args:
        graph: with the steps of the recipe.
        command: of the recipe, to be kept with each row.
        done: keys of steps that were done just now, whatever another step has written in the place of a result since.
    """
    times = read_times(planned.latency) if planned.latency and planned.latency.is_file() else {}
    rows = []
    for each in planned.rows:
        if all(key in done or graph.steps[key].made_at() is not None for key in each.needs):
            rows.append(_row(each, planned, times.get(each.row.key, {}) if each.seed == 1 else {}, graph, command))
    return rows


def _row(each: PlannedRow, planned: PlannedRecipe, times: Mapping[str, Any], graph: Graph, command: str) -> Row:
    recipe = planned.recipe
    row: Row = {"system": each.row.title, "row": each.row.key, "recipe": recipe.name, "seed": each.seed}
    commands = {"recipe": command}
    if each.translation:
        translated = _read(each.translation)[0]
        commands["translation"] = translated.pop("command", "")
        row |= {key: value for key, value in translated.items() if key != "system"}
        row["translation"] = displayed_path(each.translation)
    if each.training:
        commands["training"] = f"scripts/train.py {' '.join(graph.steps[each.training].command[1:])}"
    if each.run:
        row |= {"run": displayed_path(each.run), **training_facts(each.run / "train.log")}
    row |= times
    for measure, (path, second) in each.values.items():
        row[measure] = look_up(each.row.values[measure], path, second)
    return {**row, "paper": paper_figures(recipe, each, planned.scale.raw.name), "commands": commands}


def paper_figures(recipe: Recipe, each: PlannedRow, data: str) -> dict[str, Any]:
    """The paper's figures beside ours, and of which data they are."""
    column = recipe.paper_column(data)
    if column is None:
        return {}
    figures = {measure: numbers[column] for measure, numbers in each.row.paper.items()}
    return {"data": recipe.data[column], **figures}


def look_up(value: Value, path: Path, second: Path) -> float | None:
    """A figure in a JSON file; None where the script has found none.

    Raises:
        UserError: there is something else than a number.
    """
    found = jmespath.search(value.at, _read(path))
    other = value.minus or value.over
    if other is not None and found is not None:
        beside = jmespath.search(other, _read(second))
        if beside is None or (value.over and not beside):
            return None
        found = found - beside if value.minus else found / beside
    if found is not None and (isinstance(found, bool) or not isinstance(found, (int, float))):
        raise UserError(f"{path} has no number at '{value.at}' but {str(found)[:80]!r}: correct the recipe.")
    return found


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): remove it and run the recipe again.") from error


def read_times(path: Path) -> dict[str, Row]:
    """What scripts/benchmark_latency.py measured, by the keys of rows."""
    found = {}
    for system in _read(path)["systems"]:
        measures = system["measures"]
        row: Row = {"parameters": system["parameters"]}
        best = "l1_gpu" if "l1_gpu" in measures else "l1_cpu"
        for name, key in ((best, "l1"), ("l1_cpu", "l1_cpu")):
            if name in measures:
                row |= {f"{key}_ms": measures[name]["ms"], _speed_key(key): measures[name]["speedup"]}
        for name in ("lmax_gpu", "lmax_cpu"):
            if name in measures:
                row["lmax_ms"] = measures[name]["ms"]
                break
        row["latency_signature"] = {name: measures[name]["signature"] for name in measures}
        found[system["system"]] = row
    return found


def _speed_key(key: str) -> str:
    return "speedup" if key == "l1" else f"{key}_speedup"
