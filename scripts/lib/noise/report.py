"""Tables of what noise costs."""

from __future__ import annotations

from collections.abc import Iterable

from tabulate import tabulate

from scripts.lib.results import Row

TSV_COLUMNS = (
    "system", "split", "noise", "strength", "rate", "bleu", "delta_bleu", "repetitions_per_sentence", "draws",
)  # fmt: skip


def curve_name(curve: Row) -> str:
    """What is disturbed, and how strongly where that is not 1."""
    strength = curve["strength"]
    return str(curve["noise"]) + ("" if strength in (None, 1.0) else f" × {strength:g}")


def noise_table(row: Row) -> str:
    """One system: a line a curve, a column a rate, in each the change of BLEU."""
    rates = sorted({point["rate"] for curve in row["curves"] for point in curve["points"]})
    body = []
    for curve in row["curves"]:
        deltas = {point["rate"]: f"{point['delta_bleu']:+.2f}" for point in curve["points"]}
        body.append([curve_name(curve), *(deltas.get(rate, "") for rate in rates)])
    headers = ["noise", *(f"{100 * rate:g} %" for rate in rates)]
    shown = tabulate(body, headers, colalign=("left", *("right",) * len(rates)), disable_numparse=True)
    clean = row["clean"]
    return (
        f"{row['system']}, {row['split']}: {row['sentences']} sentences, {clean['bleu']:.2f} BLEU and "
        f"{clean['repetitions_per_sentence']:.2f} repetitions a sentence without noise; change of BLEU:\n{shown}"
    )


def tsv(rows: Iterable[Row]) -> str:
    """The numbers of the plot, one point a line; without noise the rate is 0 and there is no strength."""
    lines = ["\t".join(TSV_COLUMNS)]
    for row in rows:
        head = (str(row["system"]).replace("\t", " "), str(row["split"]))
        for curve in row["curves"]:
            strength = "" if curve["strength"] is None else f"{curve['strength']:g}"
            for point in curve["points"]:
                numbers = (point["rate"], point["bleu"], point["delta_bleu"], point["repetitions_per_sentence"])
                draws = ",".join(f"{bleu:.8g}" for bleu in point["draws"])
                lines.append("\t".join((*head, curve["noise"], strength, *(f"{n:.8g}" for n in numbers), draws)))
    return "".join(f"{line}\n" for line in lines)
