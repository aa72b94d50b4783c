"""Tables and plots of the study of the halves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from scripts.lib.halves.plan import HALVES
from scripts.lib.pictures import load_pyplot, save_figure
from scripts.lib.results import Row

DEPTH_COLUMNS = ("side", "added_layers", "encoder_layers", "decoder_layers", "bleu", "delta_bleu")
CONVERGENCE_COLUMNS = ("trained", "updates", "bleu")
_INCHES = (4.6, 3.8)


def depth_table(rows: Sequence[Row]) -> str:
    """Table 1 of Guo et al. 2020: what more layers on a side bring.

    Args:
        rows: the basic model first; each with ``side`` (None for that one) and ``added_layers``.
    """
    base, added = rows[0], sorted({row["added_layers"] for row in rows[1:]})
    body = []
    for side in HALVES:
        deltas = {row["added_layers"]: f"{row['delta_bleu']:+.2f}" for row in rows if row["side"] == side}
        body.append([side, *(deltas[number] for number in added)])
    headers = ["change of BLEU", *(f"+{number} layers" for number in added)]
    return (
        f"{base['encoder_layers']} + {base['decoder_layers']} layers: {base['bleu']:.2f} BLEU on {base['split']}, "
        f"{base['sentences']} sentences\n"
        + tabulate(body, headers, colalign=("left", *("right",) * len(added)), disable_numparse=True)
    )


def depth_tsv(rows: Sequence[Row]) -> str:
    """The numbers of the plot; the basic model has no side."""
    lines = ["\t".join(DEPTH_COLUMNS)]
    for row in rows:
        numbers = [str(row[key]) for key in DEPTH_COLUMNS[1:4]] + [f"{row[key]:.8g}" for key in DEPTH_COLUMNS[4:]]
        lines.append("\t".join([row["side"] or "", *numbers]))
    return "".join(f"{line}\n" for line in lines)


def plot_depth(rows: Sequence[Row], path: Path) -> None:
    """The change of BLEU against the layers added, a line a side."""
    pyplot = load_pyplot()
    figure, panel = pyplot.subplots(figsize=_INCHES, layout="constrained")
    for side in HALVES:
        line = [(0, 0.0), *((row["added_layers"], row["delta_bleu"]) for row in rows if row["side"] == side)]
        _draw(panel, sorted(line), side)
    panel.set(xlabel="layers added", ylabel="change of BLEU", title=f"{rows[0]['split']}: where more layers stand")
    _finish(panel)
    save_figure(figure, path)


def convergence_table(rows: Sequence[Row], pretrained: Row) -> str:
    """BLEU of each half's training after so many updates.

    Args:
        rows: one a half, with ``trained`` and ``points``.
        pretrained: the model that the other halves are of.
    """
    updates = sorted({point["updates"] for row in rows for point in row["points"]})
    found = {row["trained"]: {point["updates"]: f"{point['bleu']:.2f}" for point in row["points"]} for row in rows}
    body = [[number, *(found[half].get(number, "–") for half in HALVES)] for number in updates]
    headers = ["updates", *(f"{half} trained" for half in HALVES)]
    return (
        f"BLEU on {pretrained['split']}, {pretrained['sentences']} sentences, the other half pretrained and frozen "
        f"(pretrained model: {pretrained['bleu']:.2f})\n"
        + tabulate(body, headers, colalign=("right",) * 3, disable_numparse=True)
    )


def convergence_tsv(rows: Sequence[Row], pretrained: Row) -> str:
    """The numbers of the plot; the pretrained model has no number of updates."""
    lines = ["\t".join(CONVERGENCE_COLUMNS), f"pretrained\t\t{pretrained['bleu']:.8g}"]
    for row in rows:
        lines += [f"{row['trained']}\t{point['updates']}\t{point['bleu']:.8g}" for point in row["points"]]
    return "".join(f"{line}\n" for line in lines)


def plot_convergence(rows: Sequence[Row], pretrained: Row, path: Path) -> None:
    """BLEU against updates, a line a half."""
    pyplot = load_pyplot()
    figure, panel = pyplot.subplots(figsize=_INCHES, layout="constrained")
    for row in rows:
        _draw(panel, [(point["updates"], point["bleu"]) for point in row["points"]], f"{row['trained']} trained")
    panel.axhline(pretrained["bleu"], color="0.6", linestyle=":", zorder=0, label="pretrained model")
    panel.set(xlabel="updates", ylabel="BLEU", title=f"{pretrained['split']}: the other half is pretrained and frozen")
    _finish(panel)
    save_figure(figure, path)


def _draw(panel: Any, line: Sequence[tuple[float, float]], label: str) -> None:
    panel.plot([place for place, _ in line], [value for _, value in line], marker="o", label=label)


def _finish(panel: Any) -> None:
    panel.grid(alpha=0.3)
    panel.legend(fontsize="x-small")
