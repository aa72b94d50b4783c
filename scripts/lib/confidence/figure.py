"""Figure 3 of Ghazvininejad et al. 2020 for one's own models (matplotlib, the extra ``plots``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.lib.pictures import load_pyplot, plain_text, save_figure
from scripts.lib.results import Row

_PANEL_INCHES = (4.2, 3.0)


def plot_confidence(rows: Sequence[Row], path: Path) -> None:
    """A column a bucket of lengths: probability by distance (Figure 3), then probability and entropy by place in the
    sentence; a line a system.

    Args:
        rows: of scripts/analyse_confidence.py.
        path: an SVG file.
    """
    pyplot = load_pyplot()
    buckets = sorted({(bucket["shortest"], bucket["bucket"]) for row in rows for bucket in row["buckets"]})
    width, height = _PANEL_INCHES
    figure, panels = pyplot.subplots(
        3, len(buckets), figsize=(width * len(buckets), 3 * height), layout="constrained", squeeze=False, sharey="row"
    )
    for column, (_, name) in enumerate(buckets):
        for number, row in enumerate(rows):
            for bucket in row["buckets"]:
                if bucket["bucket"] == name:
                    _draw(panels[:, column], bucket, f"{row['system']}, {row['split']}", f"C{number}")
        panels[0, column].set(title=f"{name} tokens", xlabel="distance, slots")
        panels[1, column].set(xlabel="place in the sentence")
        panels[2, column].set(xlabel="place in the sentence")
    for panel, label in zip(
        panels[:, 0], ("probability of the token", "probability of the own token", "entropy, nats"), strict=True
    ):
        panel.set_ylabel(label)
        panel.set_ylim(bottom=0)
    for panel in panels.flat:
        panel.grid(alpha=0.3)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", fontsize="x-small")
    save_figure(figure, path)


def _draw(panels: Sequence[Any], bucket: Row, label: str, colour: str) -> None:
    near = [point for point in bucket["distances"] if point["pairs"]]
    said = [point for point in bucket["places"] if point["tokens"]]
    style = {"marker": "o", "markersize": 3, "color": colour, "label": plain_text(label)}
    panels[0].plot([point["distance"] for point in near], [point["probability"] for point in near], **style)
    panels[1].plot([point["place"] for point in said], [point["probability"] for point in said], **style)
    panels[2].plot([point["place"] for point in said], [point["entropy"] for point in said], **style)
