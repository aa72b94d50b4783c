"""Reads configs/recipes: a file a table or figure, and the systems that they train, by name."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jmespath
import yaml
from jmespath.exceptions import JMESPathError

from nat_plugin.errors import UserError
from scripts.lib.config import CONFIG_FOLDER
from scripts.lib.reproduce.measures import MEASURES, Measure
from scripts.lib.reproduce.recipe import Latency, Picture, Recipe, RecipeRow, Script, System, Value

FOLDER = CONFIG_FOLDER / "recipes"
SYSTEMS_FILE = CONFIG_FOLDER / "systems.yaml"
SCALES = ("small", "paper")


def recipe_names() -> list[str]:
    """All recipes there are."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_recipe(name: str, scale: str = "small", folder: Path = FOLDER) -> Recipe:
    """Read a recipe.

    Args:
        scale: one of :data:`SCALES`, which decides where the file gives ``{small: …, paper: …}``.

    Raises:
        UserError: there is no such recipe, or the file says something that is not understood.
    """
    path = folder / f"{name}.yaml"
    if not path.is_file():
        raise UserError(f"there is no recipe '{name}': choose some of {', '.join(recipe_names())}.")
    record = _pick(_read(path), scale)
    try:
        return _recipe(name, record, folder, scale)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} cannot be used ({type(error).__name__}: {error}): correct it.") from error


def _recipe(name: str, record: dict[str, Any], folder: Path, scale: str) -> Recipe:
    includes = tuple(record.pop("includes", ()))
    base = load_recipe(record.pop("like"), scale, folder) if "like" in record else None
    own_measures = record.pop("measures", None)
    measures = tuple(map(_measure, own_measures)) if own_measures is not None else (base.measures if base else ())
    shared: dict[str, Any] = {key: record.pop(key) for key in ("values", "decode", "trained") if key in record}
    rows = {} if base is None else dict(base.rows)
    rows |= {str(key): _row(str(key), row, shared) for key, row in record.pop("rows", {}).items()}
    for grids, keys in record.pop("tune", {}).items():
        rows |= {key: replace(rows[key], tune=_words(grids)) for key in keys}
    only = record.pop("only", None)
    if only is not None:
        rows = {key: rows[key] for key in only}
    scripts = {} if base is None else dict(base.scripts)
    scripts |= {key: _script(key, script) for key, script in record.pop("scripts", {}).items()}
    data = tuple(record.pop("data", base.data if base else ()))
    latency, picture = record.pop("latency", None), record.pop("picture", None)
    recipe = Recipe(
        name=name,
        source=record.pop("source"),
        shows=record.pop("shows"),
        data=data,
        direction=record.pop("direction", _direction(data)),
        scales=_scales(record, base),
        measures=measures,
        rows=rows,
        scripts=scripts,
        compare=tuple((str(first), str(second)) for first, second in record.pop("compare", ())),
        latency=_latency(latency) if latency else None,
        picture=_picture(picture) if picture else None,
        decode_on=record.pop("decode_on", base.decode_on if base else {}),
        includes=includes,
        begins_as_said=record.pop("begins_as_said", False),
    )
    if record:
        raise ValueError(f"{', '.join(record)} means nothing")
    _check(recipe)
    return recipe


def _direction(data: Sequence[str]) -> str:
    """That of the first data set whose languages Multi30k has."""
    return next((name[-5:] for name in data if name.endswith(("_en_de", "_de_en"))), "en_de")


def _scales(record: dict[str, Any], base: Recipe | None) -> dict[str, tuple[str, str]]:
    scales = dict(base.scales) if base else {"": ("base", "paper")}
    size, budget = scales[""]
    scales[""] = (record.pop("size", size), record.pop("budget", budget))
    return scales | {data: (each["size"], each["budget"]) for data, each in record.pop("scales", {}).items()}


def _pick(node: Any, scale: str) -> Any:
    """What a scale chooses wherever a file says ``{small: …, paper: …}``."""
    if isinstance(node, Mapping):
        if node and set(node) <= set(SCALES):
            return _pick(node.get(scale), scale)
        return {key: _pick(value, scale) for key, value in node.items()}
    if isinstance(node, list):
        return [_pick(value, scale) for value in node]
    return node


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _read(path: Path) -> Any:
    try:
        record = yaml.load(_text(path), yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise UserError(f"{path} is no YAML ({error}): correct it.") from error
    if not isinstance(record, dict):
        raise UserError(f"{path} holds no description: correct it.")
    return record


def _words(value: str | Sequence[str] | None) -> tuple[str, ...]:
    return tuple(shlex.split(value) if isinstance(value, str) else map(str, value or ()))


def _measure(value: Any) -> Measure:
    return MEASURES[value] if isinstance(value, str) else Measure(**value)


def _latency(value: Any) -> Latency:
    record = {} if value is True else dict(value)
    return Latency(record.pop("baseline", "teacher"), _words(record.pop("arguments", ())), **record)


def _picture(record: dict[str, Any]) -> Picture:
    up = record.pop("up")
    return Picture((up,) if isinstance(up, str) else tuple(up), **record)


def _script(name: str, record: dict[str, Any]) -> Script:
    return Script(name, _words(record.pop("run")), record.pop("result"), tuple(record.pop("needs", ())), **record)


def _row(key: str, record: dict[str, Any], shared: Mapping[str, Any]) -> RecipeRow:
    """A row; what it has in common with the others of its recipe may say {key}, {title} and {name} of it."""
    title = str(record.pop("title"))
    names = {"key": key, "title": title, "name": str(record.pop("name", title))}
    values = {**shared.get("values", {}), **record.pop("values", {})}
    paper = {
        measure: tuple(None if figure is None else float(figure) for figure in figures)
        for measure, figures in record.pop("paper", {}).items()
    }
    return RecipeRow(
        key=key,
        title=title,
        tune=_words(record.pop("tune", ())),
        values={
            measure: Value(**{part: _filled(text, names) for part, text in place.items()})
            for measure, place in values.items()
        },
        paper=paper,
        decode=record.pop("decode", shared.get("decode", {})),
        trained=_filled(record.pop("trained", shared.get("trained", "")), names),
        **record,
    )


def _filled(text: str, names: Mapping[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _check(recipe: Recipe) -> None:
    """What can be seen of mistakes without running anything."""
    for pair in recipe.compare:
        for key in pair:
            recipe.rows[key]
    if other := set(recipe.decode_on) - set(recipe.data):
        raise ValueError(f"decode_on names {', '.join(sorted(other))}, which is no data set of the paper's")
    known = {measure.name for measure in recipe.measures}
    if picture := recipe.picture:
        for measure in picture.measures:
            if measure not in known:
                raise ValueError(f"the picture shows {measure}, which is no measure of the recipe")
        if not picture.up or (picture.across is not None and len(picture.up) != 1):
            raise ValueError("a picture shows one measure across another, or some over the rows")
    for row in recipe.rows.values():
        for measure, figures in row.paper.items():
            if measure not in known:
                raise ValueError(f"row {row.key} has the paper's {measure}, which is no measure of the recipe")
            if len(figures) != len(recipe.data):
                raise ValueError(
                    f"row {row.key} has {len(figures)} figures of {measure} for {len(recipe.data)} data sets"
                )
        for value in row.values.values():
            if "{" not in value.of and value.of not in recipe.scripts:
                raise ValueError(f"row {row.key} reads from '{value.of}', which is no script of the recipe")
            for expression in filter(None, (value.at, value.minus, value.over)):
                try:
                    jmespath.compile(expression)
                except JMESPathError as error:
                    raise ValueError(f"row {row.key}: {error}") from error


def load_systems(scale: str = "small", path: Path = SYSTEMS_FILE) -> dict[str, System]:
    """Read the systems by name.

    Raises:
        UserError: the file says something that is not understood.
    """
    systems: dict[str, System] = {}
    records = _pick(_read(path), scale)
    for name, named in records.items():
        try:
            record = dict(records[named] if isinstance(named, str) else named)  # or another name for a system
            words = _words(record.pop("words", ()))
            systems[name] = System(name=name, words=words, **record)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{path}: {name} cannot be used ({type(error).__name__}: {error}): correct it.") from error
    return systems
