"""Figures 5 and 6 of Gu & Kong 2021 for one's own models (matplotlib, the extra ``plots``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scripts.lib.latent.references import AlignedSentence
from scripts.lib.pictures import load_pyplot, plain_text, save_figure
from scripts.lib.results import Row

_PANEL_INCHES = (4.6, 3.8)
_INCHES_A_WORD = 0.24


def plot_dimensions(rows: Sequence[Row], path: Path) -> None:
    """Explained variance of each component, the same cumulatively, and KL of each dimension: a line a system.

    Args:
        rows: of :mod:`scripts.lib.latent.rows`.
        path: an SVG file.
    """
    pyplot = load_pyplot()
    width, height = _PANEL_INCHES
    figure, panels = pyplot.subplots(1, 3, figsize=(3 * width, height), layout="constrained")
    most = max(row["dimensions"] for row in rows)
    for row in rows:
        numbers = range(1, row["dimensions"] + 1)
        label = f"{row['system']}, {row['split']}"
        for panel, values in zip(
            panels,
            (row["pca"]["explained_variance_ratio"], row["pca"]["cumulative_ratio"], row["kl"]["nats"]),
            strict=True,
        ):
            panel.plot(numbers, values, marker="o", label=label)
    panels[1].axhline(rows[0]["pca"]["effective_share"], color="0.6", linestyle=":", zorder=0)
    panels[2].axhline(rows[0]["kl"]["active_above"], color="0.6", linestyle=":", zorder=0)
    panels[0].set(xlabel="component", ylabel="share of the variance", title="explained variance")
    panels[1].set(xlabel="components", ylabel="share of the variance", title="cumulative", ylim=(0, 1.05))
    panels[2].set(xlabel="dimension of z", ylabel="nats a position", title="KL(posterior ‖ prior)")
    for panel in panels:
        panel.set_xticks(range(1, most + 1))
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize="x-small")
    save_figure(figure, path)


def plot_examples(sentences: Sequence[AlignedSentence], path: Path) -> None:
    """Distances between the positions' z(x, y1) and z(x, y2), one panel a sentence, with a dot at each match.

    Args:
        sentences: at least one.
        path: an SVG file.
    """
    pyplot = load_pyplot()
    sides = [2.5 + _INCHES_A_WORD * len(sentence.words) for sentence in sentences]
    figure, panels = pyplot.subplots(
        1, len(sentences), figsize=(sum(sides), max(sides)), layout="constrained", squeeze=False, width_ratios=sides
    )
    for panel, sentence in zip(panels[0], sentences, strict=True):
        image = panel.imshow(sentence.alignment.distances, cmap="Blues_r")
        figure.colorbar(image, ax=panel, shrink=0.6, label="distance")
        places = range(len(sentence.words))
        words = [plain_text(word) for word in sentence.words]
        panel.plot(sentence.alignment.matches, places, "o", color="C3", markersize=4)
        panel.set_xticks(places, words, rotation=90, fontsize="x-small")
        panel.set_yticks(places, words, fontsize="x-small")
        panel.set(title=f"sentence {sentence.index + 1}", xlabel="z(x, y2)", ylabel="z(x, y1)")
    save_figure(figure, path)
