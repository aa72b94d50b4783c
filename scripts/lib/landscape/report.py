"""The numbers of a loss landscape, and its picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tabulate import tabulate

from scripts.lib.pictures import load_pyplot, plain_text, save_figure
from scripts.lib.results import Row

CORNERS = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
"""Where the three models stand."""
_MARKERS = ("D", "*", "^")  # ♦ initial, ⋆ and ▲ trained from it, as in the paper
_COLUMNS = ("a", "b", "log_likelihood", "bleu", "tokenized_bleu", "length_ratio", "empty_outputs")


def tsv(row: Row) -> str:
    """A line a point, the three models first."""
    lines = ["\t".join(_COLUMNS)]
    lines += ["\t".join(f"{point[key]:.8g}" for key in _COLUMNS) for point in [*row["corners"], *row["points"]]]
    return "".join(f"{line}\n" for line in lines)


def corner_table(row: Row) -> str:
    """The three models themselves, and the best points of the grid."""
    named = list(zip(row["models"], row["corners"], strict=True))
    for key, what in (("log_likelihood", "highest log-likelihood"), ("bleu", "highest BLEU")):
        named.append((f"grid: {what}", max(row["points"], key=lambda point: float(point[key]))))
    forms = {"a": "g", "b": "g", "log_likelihood": ".3f", "bleu": ".2f"}
    body = [[name, *(f"{point[key]:{form}}" for key, form in forms.items())] for name, point in named]
    headers = ["", "a", "b", "log2 P a token", "BLEU"]
    return tabulate(body, headers, colalign=("left", *("right",) * 4), disable_numparse=True)


def plot(row: Row, path: Path) -> None:
    """Figure 1 of Huang et al. 2022 as two contour maps, with the three models marked.

    Args:
        row: of scripts/loss_landscape.py.
        path: an SVG file.
    """
    pyplot = load_pyplot()
    figure, panels = pyplot.subplots(1, 2, figsize=(10.5, 4.4), layout="constrained")
    for panel, (key, title) in zip(
        panels, (("log_likelihood", "log-likelihood, bits a token"), ("bleu", "BLEU")), strict=True
    ):
        _contours(figure, panel, row, key)
        for marker, name, (a, b) in zip(_MARKERS, row["models"], CORNERS, strict=True):
            label = plain_text(name)
            panel.plot([a], [b], marker, color="black", markeredgecolor="white", markersize=11, label=label)
        panel.set(title=f"{title} ({row['split']})", xlabel="a", ylabel="b")
        panel.legend(fontsize="x-small")
    save_figure(figure, path)


def _contours(figure: Any, panel: Any, row: Row, key: str) -> None:
    values = {(point["a"], point["b"]): point[key] for point in row["points"]}
    steps = row["grid"]
    heights = [[values[a, b] for a in steps] for b in steps]
    filled = panel.contourf(steps, steps, heights, levels=12)
    lines = panel.contour(steps, steps, heights, levels=12, colors="white", linewidths=0.4)
    panel.clabel(lines, fontsize=6)
    figure.colorbar(filled, ax=panel)
