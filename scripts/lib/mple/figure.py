"""Figures 5, 6 and 7 of Huang et al. 2022 for one's own models, and BLEU against L̂_MPLE."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.lib.mple.correlation import DECODINGS
from scripts.lib.pictures import load_pyplot, plain_text, save_figure
from scripts.lib.results import Row

_PANEL_INCHES = (4.6, 3.8)


def plot_mple(rows: Sequence[Row], correlation: Row | None, path: Path) -> None:
    """A panel each, where there is anything to show: L_NAT against C, distances of texts, confidence, BLEU against
    L̂_MPLE, and r against β.

    Args:
        rows: of scripts/measure_mple.py.
        correlation: of :func:`scripts.lib.mple.correlation.correlate`.
        path: an SVG file.
    """
    pyplot = load_pyplot()
    panels = [_l_nat]
    panels += [_distances] * any(row["distances"] for row in rows)
    panels += [_confidence] * any(row["confidence_default"] is not None for row in rows)
    panels += [_bleu] * any(row["l_mple"] is not None for row in rows)
    width, height = _PANEL_INCHES
    count = len(panels) + (correlation is not None)
    figure, axes = pyplot.subplots(1, count, figsize=(width * count, height), layout="constrained", squeeze=False)
    for draw, panel in zip(panels, axes[0], strict=False):
        draw(panel, rows)
    if correlation is not None:
        _beta(axes[0][-1], correlation)
    save_figure(figure, path)


def _short(row: Row) -> str:
    """A system's name without the data's, which all panels would have to hold."""
    return plain_text(str(row["system"]).rpartition("/")[2])


def _bars(panel: Any, names: Sequence[str], values: Sequence[float | None], shift: float = 0.0, **style: Any) -> None:
    """A bar a name, from the top down; none where there is no value."""
    shown = [(place + shift, value) for place, value in enumerate(values) if value is not None]
    if shown:
        panel.barh(*zip(*shown, strict=True), **style)
    panel.set_yticks(range(len(names)), names, fontsize="x-small")
    panel.set_ylim(len(names) - 0.4, -0.6)
    panel.grid(alpha=0.3, axis="x")


def _l_nat(panel: Any, rows: Sequence[Row]) -> None:
    _bars(panel, [_short(row) for row in rows], [row["l_nat"] for row in rows])
    for value in {row["total_correlation"] for row in rows if row["total_correlation"] is not None}:
        panel.axvline(value, color="C3", linestyle="--", label=f"C = {value:.3g}")
        panel.legend(fontsize="x-small")
    panel.set(title="L_NAT against C (Figure 5)", xlabel="bits a token")


def _distances(panel: Any, rows: Sequence[Row]) -> None:
    found = next(row["distances"] for row in rows if row["distances"])
    _bars(panel, [name.replace("_", " ") for name in found], list(found.values()))
    panel.set(title="nearness of texts (Figure 6)", xlabel="mean sentence BLEU")


def _confidence(panel: Any, rows: Sequence[Row]) -> None:
    known = [row for row in rows if row["confidence_default"] is not None]
    for shift, decoding in zip((-0.2, 0.2), DECODINGS, strict=True):
        values = [row[f"confidence_{decoding}"] for row in known]
        _bars(panel, [_short(row) for row in known], values, shift, height=0.4, label=decoding)
    panel.legend(fontsize="x-small")
    panel.set(title="decoding confidence I (Figure 7)", xlabel="bits a slot")


def _bleu(panel: Any, rows: Sequence[Row]) -> None:
    for decoding, marker in zip(DECODINGS, "os", strict=True):
        known = [row for row in rows if row["l_mple"] is not None and row[f"bleu_{decoding}"] is not None]
        if known:
            x, y = [row["l_mple"] for row in known], [row[f"bleu_{decoding}"] for row in known]
            panel.plot(x, y, marker, label=decoding)
            for row, left, up in zip(known, x, y, strict=True):
                panel.annotate(_short(row), (left, up), fontsize="xx-small")
    panel.grid(alpha=0.3)
    panel.margins(x=0.15)
    panel.legend(fontsize="x-small")
    panel.set(title="BLEU against L̂_MPLE", xlabel="L̂_MPLE", ylabel="BLEU")


def _beta(panel: Any, correlation: Row) -> None:
    for decoding in DECODINGS:
        if decoding in correlation:
            values = [float("nan") if r is None else r for r in correlation[decoding]["by_beta"]]
            panel.plot(correlation["betas"], values, marker="o", label=decoding)
    panel.grid(alpha=0.3)
    panel.legend(fontsize="x-small")
    panel.set(title="Pearson's r of L̂_MPLE and BLEU", xlabel="β", ylabel="r", ylim=(-1.05, 1.05))
