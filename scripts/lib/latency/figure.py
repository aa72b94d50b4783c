"""Quality against latency, as Figure 4 of Gu & Kong 2021 (matplotlib, the extra ``plots``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib.latency.rows import MEASURES
from scripts.lib.pictures import load_pyplot, save_figure

_COLOURS = {"autoregressive": "C0", "iterative": "C1", "one pass": "C3"}
_PANEL_INCHES = (4.6, 4.2)


def plot(results: Mapping[str, Any], path: Path) -> None:
    """One panel a measure: milliseconds a sentence on a logarithmic axis against BLEU; up and to the left is better.

    Systems that are one checkpoint with other decoding flags are joined by a line; bars are quartiles.

    Args:
        results: of a comparison.
        path: an SVG file.

    Raises:
        UserError: matplotlib is not installed.
    """
    pyplot = load_pyplot()
    from matplotlib import ticker

    measures = [name for name in MEASURES if any(name in row["measures"] for row in results["systems"])]
    width, height = _PANEL_INCHES
    figure, panels = pyplot.subplots(
        1, len(measures), figsize=(width * len(measures), height), layout="constrained", squeeze=False
    )
    for panel, measure in zip(panels[0], measures, strict=True):
        _panel(panel, measure, results["systems"])
        panel.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_locator(ticker.NullLocator())
    panels[0][0].set_ylabel("BLEU")
    save_figure(figure, path)


def _panel(panel: Any, measure: str, systems: Sequence[Mapping[str, Any]]) -> None:
    rows = [row for row in systems if measure in row["measures"]]
    for checkpoint in dict.fromkeys(row["checkpoint"] for row in rows):
        found = [row["measures"][measure] for row in rows if row["checkpoint"] == checkpoint]
        found.sort(key=lambda entry: float(entry["ms"]))
        panel.plot([entry["ms"] for entry in found], [entry["bleu"] for entry in found], color="0.8", zorder=0)
    for kind, colour in _COLOURS.items():
        of_kind = [(row["system"], row["measures"][measure]) for row in rows if row["kind"] == kind]
        if not of_kind:
            continue
        times = [entry["ms"] for _, entry in of_kind]
        below = [entry["ms"] - entry["ms_quartiles"][0] for _, entry in of_kind]
        above = [entry["ms_quartiles"][1] - entry["ms"] for _, entry in of_kind]
        scores = [entry["bleu"] for _, entry in of_kind]
        panel.errorbar(times, scores, xerr=[below, above], fmt="o", color=colour, label=kind)
        for (name, entry), score in zip(of_kind, scores, strict=True):
            place = (entry["ms"], score)
            panel.annotate(name, place, xytext=(4, 4), textcoords="offset points", fontsize="x-small")
    panel.set(xscale="log", xlabel="ms a sentence", title=MEASURES[measure])
    panel.margins(x=0.2, y=0.15)
    panel.grid(alpha=0.3)
    panel.legend(fontsize="x-small", loc="best")
