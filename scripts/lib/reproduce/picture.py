"""A recipe's table as a picture: ours on the left, the paper's on the right, each with axes of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.lib.pictures import load_pyplot, plain_text, save_figure
from scripts.lib.reproduce.agreement import Figure
from scripts.lib.reproduce.recipe import Picture, Recipe

_PANEL_INCHES = (4.6, 3.6)
_LEGEND_INCHES = 3.0
_COLOURS = 10


@dataclass(frozen=True)
class _Side:
    """The figures of one panel: measure → title of a row → value, and its standard deviation over seeds."""

    title: str
    values: Mapping[str, Mapping[str, float]]
    deviations: Mapping[str, Mapping[str, float]]

    def has_all(self, picture: Picture) -> bool:
        """Whether there is something of each measure."""
        return all(self.values[name] for name in picture.measures)


def draw(recipe: Recipe, figures: Mapping[str, Mapping[str, Figure]], title: str, path: Path) -> bool:
    """Draw what ``recipe.picture`` says.

    Args:
        figures: measure → row → its figures.
        title: of our panel.
        path: an SVG file.

    Returns:
        Whether there was anything of ours to draw.

    Raises:
        UserError: matplotlib is not installed.
    """
    picture = recipe.picture
    ours, paper = _sides(recipe, figures, title)
    if picture is None or not ours.has_all(picture):
        return False
    sides = [side for side in (ours, paper) if side.has_all(picture)]
    pyplot = load_pyplot()
    width, height = _PANEL_INCHES
    whole = width * len(sides) + (0 if picture.across is None else _LEGEND_INCHES)
    drawn, panels = pyplot.subplots(1, len(sides), figsize=(whole, height), layout="constrained", squeeze=False)
    headings = {measure.name: plain_text(measure.heading) for measure in recipe.measures}
    rows = [row.title for row in recipe.rows.values()]
    for panel, side in zip(panels[0], sides, strict=True):
        panel.set_title(plain_text(side.title), fontsize="medium")
        panel.grid(alpha=0.3)
        if picture.across is None:
            _lines(panel, side, picture.up, headings)
        else:
            _points(panel, side, picture.across, picture.up[0], headings, rows)
    if picture.across is not None:
        _name_points(drawn, panels[0])
    save_figure(drawn, path)
    return True


def _sides(recipe: Recipe, figures: Mapping[str, Mapping[str, Figure]], title: str) -> tuple[_Side, _Side]:
    ours: dict[str, dict[str, float]] = {}
    paper: dict[str, dict[str, float]] = {}
    deviations: dict[str, dict[str, float]] = {}
    for name, of_rows in figures.items():
        ours[name], paper[name], deviations[name] = {}, {}, {}
        for key, each in of_rows.items():
            row = recipe.rows[key].title if key in recipe.rows else key
            if each.ours is not None:
                ours[name][row], deviations[name][row] = each.ours, each.deviation or 0
            if each.paper is not None:
                paper[name][row] = each.paper
    return _Side(title, ours, deviations), _Side(recipe.source, paper, {})


def _lines(panel: Any, side: _Side, up: tuple[str, ...], headings: Mapping[str, str]) -> None:
    """A line a measure over the rows, from left to right as the table has them from above."""
    for name in up:
        values = side.values[name]
        spread = [side.deviations.get(name, {}).get(row, 0) for row in values]
        rows = [plain_text(row) for row in values]
        panel.errorbar(rows, list(values.values()), yerr=spread, marker="o", label=headings[name])
    panel.tick_params(axis="x", labelsize="small", rotation=45)
    if len(up) > 1:
        panel.legend(fontsize="small")
    else:
        panel.set_ylabel(headings[up[0]])


def _points(panel: Any, side: _Side, across: str, up: str, headings: Mapping[str, str], rows: Sequence[str]) -> None:
    """A point a row that has both measures, in the same colour in both panels."""
    for number, row in enumerate(rows):
        if row in side.values[up] and row in side.values[across]:
            place = (side.values[across][row], side.values[up][row])
            marker = "os^"[number // _COLOURS]
            panel.plot(*place, marker, color=f"C{number % _COLOURS}", label=plain_text(row))
    panel.set(xlabel=headings[across], ylabel=headings[up])


def _name_points(drawn: Any, panels: Sequence[Any]) -> None:
    """One legend: names beside points would hide each other where methods are alike."""
    labels = {
        label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    drawn.legend(labels.values(), labels.keys(), loc="outside right center", fontsize="small")
