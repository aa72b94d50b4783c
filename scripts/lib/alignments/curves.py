"""How the losses of several trainings fell: Figure 2 of Haviv et al. 2021, and the table beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tabulate import tabulate

from scripts.lib.pictures import load_pyplot, save_figure
from scripts.lib.results import Row
from scripts.lib.training_log import Curves

TSV_COLUMNS = ("system", "set", "updates", "loss_bits")


def tsv(losses: Mapping[str, Curves]) -> str:
    """The numbers of the plot, one a line."""
    lines = ["\t".join(TSV_COLUMNS)]
    for system, curves in losses.items():
        for name, curve in (("training", curves.training), ("validation", curves.validation)):
            lines += [f"{system}\t{name}\t{updates}\t{loss:g}" for updates, loss in sorted(curve.items())]
    return "".join(f"{line}\n" for line in lines)


def plot(losses: Mapping[str, Curves], sentences_per_target: float, path: Path) -> None:
    """Loss against updates, training and validation, a colour a system; a dotted line at 2 bits a sentence.

    Args:
        sentences_per_target: 1/n, of the data that the line is for.
        path: an SVG file.

    Raises:
        UserError: matplotlib is not installed.
    """
    pyplot = load_pyplot()
    figure, panel = pyplot.subplots(figsize=(7.0, 4.2), layout="constrained")
    for number, (system, curves) in enumerate(losses.items()):
        colour = f"C{number}"
        for curve, style, name in ((curves.training, "-", "training"), (curves.validation, "--", "validation")):
            updates = sorted(curve)
            panel.plot(updates, [curve[update] for update in updates], style, color=colour, label=f"{system}, {name}")
    panel.axhline(2 * sentences_per_target, color="0.6", linestyle=":", zorder=0, label="2·ln 2 / n")
    panel.set(xlabel="updates", ylabel="loss, bits a target")
    panel.set_ylim(bottom=0)
    panel.grid(alpha=0.3)
    panel.legend(fontsize="x-small")
    save_figure(figure, path)


def table(rows: Sequence[Row]) -> str:
    """One line a loss; losses in bits a target."""
    body = [
        [
            row["system"],
            row["updates"],
            _number(row["training_loss"], 3),
            _number(row["best_validation_loss"], 3),
            f"{row['bleu']:.2f}",
            f"{100 * row['empty_outputs']:.1f}",
            f"{100 * row['trivial']:.1f}",
            f"{100 * row['constant']:.1f}",
            "–" if row["own_input"] is None else f"{100 * row['own_input']:.1f}",
        ]
        for row in rows
    ]
    headers = [
        "loss", "updates", "training", "validation", "BLEU", "empty %", "trivial %", "constant %", "own input %"
    ]  # fmt: skip
    return tabulate(body, headers, colalign=("left", *("right",) * (len(headers) - 1)), disable_numparse=True)


def _number(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"
