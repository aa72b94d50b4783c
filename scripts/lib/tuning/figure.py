"""The curve of a search: Tables 6 (δ) and 7 (λ) of Ghazvininejad et al. 2020 for own models, or another flag's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.lib.pictures import load_pyplot, plain_text, save_figure
from scripts.lib.results import Row
from scripts.lib.tuning.space import Settings
from scripts.lib.tuning.winner import Winner

_INCHES = (4.8, 3.8)
_HEAT_MAP_CELLS = 400  # figures in more cells cannot be read

Points = Sequence[tuple[Settings, Row]]


def plot(measured: Points, winner: Winner, metric: str, title: str, path: Path, *, is_grid: bool) -> None:
    """A line for one flag, a heat map for two of a grid, and else a panel a flag with a dot a combination.

    Args:
        measured: every combination with its figures.
        metric: the one that was to be highest.
        title: of the whole.
        path: an SVG file.
        is_grid: whether every value of a flag was tried with every one of the others.
    """
    pyplot = load_pyplot()
    varied = [flag for flag in winner.settings if len({str(settings[flag]) for settings, _ in measured}) > 1]
    flags = varied or list(winner.settings)[:1]
    width, height = _INCHES
    heat = is_grid and len(flags) == 2 and len(measured) <= _HEAT_MAP_CELLS
    panels = 1 if heat else len(flags)
    figure, axes = pyplot.subplots(1, panels, figsize=(width * panels, height), layout="constrained", squeeze=False)
    if heat:
        _heat_map(figure, axes[0][0], measured, winner, flags, metric)
    else:
        for panel, flag in zip(axes[0], flags, strict=True):
            _curve(panel, measured, winner, flag, metric, joined=len(flags) == 1)
    figure.suptitle(plain_text(title), fontsize="medium")
    save_figure(figure, path)


def _curve(panel: Any, measured: Points, winner: Winner, flag: str, metric: str, *, joined: bool) -> None:
    """The metric against one flag, and the share of skipped targets where the trainings say it (Table 6)."""
    numeric = _is_numeric(measured, flag)
    points = sorted(measured, key=lambda point: point[0][flag]) if numeric else list(measured)
    line = "-" if joined and numeric else ""

    def horizontal(of: Points) -> list[Any]:
        return [settings[flag] if numeric else str(settings[flag]) for settings, _ in of]

    panel.plot(horizontal(points), [row[metric] for _, row in points], marker="o", linestyle=line, label=metric)
    best = [(winner.settings, winner.row)]
    panel.plot(horizontal(best), [winner.row[metric]], marker="*", markersize=14, linestyle="", label="chosen")
    panel.set(xlabel=plain_text(flag), ylabel=metric)
    panel.grid(alpha=0.3)
    handles, labels = panel.get_legend_handles_labels()
    if joined and all(row.get("skip_target") is not None for _, row in points):
        second = panel.twinx()
        skipped = [100 * row["skip_target"] for _, row in points]
        second.plot(horizontal(points), skipped, color="C3", marker="s", linestyle=":", label="skipped targets")
        second.set(ylabel="% of the targets skipped")
        more = second.get_legend_handles_labels()
        handles, labels = handles + more[0], labels + more[1]
    panel.legend(handles, labels, fontsize="x-small")


def _heat_map(figure: Any, panel: Any, measured: Points, winner: Winner, flags: list[str], metric: str) -> None:
    """The first flag from the top down, the second from left to right."""
    rows, columns = ([*dict.fromkeys(str(settings[flag]) for settings, _ in measured)] for flag in flags)
    scores = {(str(settings[flags[0]]), str(settings[flags[1]])): row[metric] for settings, row in measured}
    cells = [[scores[row, column] for column in columns] for row in rows]
    image = panel.imshow(cells, aspect="auto", cmap="viridis")
    middle = (min(map(min, cells)) + max(map(max, cells))) / 2
    for up, line in enumerate(cells):
        for left, score in enumerate(line):
            chosen = (rows[up], columns[left]) == tuple(str(winner.settings[flag]) for flag in flags)
            panel.text(
                left, up, f"{score:.2f}", ha="center", va="center", fontsize="x-small",
                color="white" if score < middle else "black", weight="bold" if chosen else "normal",
            )  # fmt: skip
    panel.set_xticks(range(len(columns)), map(plain_text, columns), fontsize="x-small")
    panel.set_yticks(range(len(rows)), map(plain_text, rows), fontsize="x-small")
    panel.set(xlabel=plain_text(flags[1]), ylabel=plain_text(flags[0]))
    figure.colorbar(image, label=metric)


def _is_numeric(measured: Points, flag: str) -> bool:
    values = [settings[flag] for settings, _ in measured]
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
