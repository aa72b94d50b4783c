"""Figures 1(b) and 3 of Guo et al. 2020 for one's own models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nat_plugin.analysis.state_noise import PLACES
from nat_plugin.analysis.word_noise import WORD_NOISES
from scripts.lib.noise.report import curve_name
from scripts.lib.pictures import load_pyplot, save_figure
from scripts.lib.results import Row

_PANEL_INCHES = (4.6, 3.8)


def plot_noise(rows: Sequence[Row], path: Path) -> None:
    """BLEU under noise in place of vectors, a panel a system; and its change under noise of words, a panel a kind.

    Args:
        rows: of scripts/analyse_noise.py.
        path: an SVG file.
    """
    pyplot = load_pyplot()
    systems = [row for row in rows if any(curve["noise"] in PLACES for curve in row["curves"])]
    kinds = [kind for kind in WORD_NOISES if any(curve["noise"] == kind for row in rows for curve in row["curves"])]
    width, height = _PANEL_INCHES
    shape = (bool(systems) + bool(kinds), max(len(systems), len(kinds)))
    figure, panels = pyplot.subplots(
        *shape, figsize=(width * shape[1], height * shape[0]), layout="constrained", squeeze=False
    )
    for panel, row in zip(panels[0], systems, strict=False):
        for curve in row["curves"]:
            if curve["noise"] in PLACES:
                _line(panel, curve, "bleu", curve_name(curve))
        panel.set(title=f"{row['system']}, {row['split']}", xlabel="% of the positions", ylabel="BLEU")
    for panel, kind in zip(panels[-1], kinds, strict=False):
        for row in rows:
            for curve in row["curves"]:
                if curve["noise"] == kind:
                    _line(panel, curve, "delta_bleu", f"{row['system']}, {row['split']}")
        panel.set(title=kind.replace("_", " "), xlabel="% of the source's words", ylabel="change of BLEU")
    for panel in panels.flat:
        if panel.lines:
            panel.grid(alpha=0.3)
            panel.legend(fontsize="x-small")
        else:
            panel.set_axis_off()
    save_figure(figure, path)


def _line(panel: object, curve: Row, key: str, label: str) -> None:
    points = curve["points"]
    panel.plot([100 * point["rate"] for point in points], [point[key] for point in points], marker="o", label=label)  # type: ignore[attr-defined]
