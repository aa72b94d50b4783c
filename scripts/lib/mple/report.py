"""Tables of what proxy inputs and targets cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from scripts.lib.mple.correlation import DECODINGS, PEOPLES, compares_with_itself
from scripts.lib.results import Row

# Heading, key of the row, decimals.
_COLUMNS = (
    ("L_NAT", "l_nat", 3),
    ("L_input", "l_input", 3),
    ("S(Y, T)", "sentence_bleu", 2),
    ("L̂_target", "l_target", 3),
    ("L̂_MPLE", "l_mple", 3),
    ("BLEU", "bleu_default", 2),
    ("BLEU sampled", "bleu_sampled", 2),
    ("I", "confidence_default", 3),
    ("I sampled", "confidence_sampled", 3),
    ("C", "total_correlation", 3),
)
TSV_COLUMNS = (
    "system", "split", "l_nat", "l_input", "input_masks", "input_tokens", "input_log_q", "revealed", "sentence_bleu",
    "beta", "l_target", "l_mple", "bleu_default", "bleu_sampled", "confidence_default", "confidence_sampled",
    "total_correlation",
)  # fmt: skip


def systems_table(rows: Sequence[Row]) -> str:
    """A line a system, as in the paper's Tables 2 and 3, and below it what the figures are about."""
    body = [[row["system"], *(_cell(row.get(key), decimals) for _, key, decimals in _COLUMNS)] for row in rows]
    headers = ["system", *(heading for heading, *_ in _COLUMNS)]
    shown = tabulate(body, headers, colalign=("left", *("right",) * len(_COLUMNS)), disable_numparse=True)
    about = "L_NAT, L_input, C: bits a target token; I: bits a slot; S: sentence BLEU, 0 to 100."
    return "\n".join([shown, about, *_notes(rows)])


def _notes(rows: Sequence[Row]) -> list[str]:
    """What has to be said of some systems' figures, a sentence a line, each after the names of those systems."""
    said: dict[str, list[str]] = {}
    for row in rows:
        notes = []
        if row["only_reference"]:
            notes.append(
                f"there is one reference ({row['references'][0]}), and S(Y, T) is against it alone; name others with "
                "--references"
            )
        if compares_with_itself(row):
            notes.append("T is made of that reference: L̂_target means nothing, and the system is in no correlation")
        if row["distilled"] and row["targets"] == PEOPLES:
            notes.append("trained on distilled data, measured on people's translations: name a teacher's: --distilled")
        if row["l_input"] is None:
            why = "no --vanilla was given" if row["input_masks"] is not None else "there is no --input-predictor"
            notes.append(f"L_input is not known, {why}")
        for note in notes:
            said.setdefault(note, []).append(row["system"])
    return [f"{', '.join(systems)}: {note}." for note, systems in said.items()]


def steps_table(row: Row) -> str:
    """What stands in for C_i at each refinement step."""
    body = [
        [
            step["step"],
            f"{100 * step['masked']:.1f}",
            *(f"{step[key]:.3f}" for key in ("nat_bits", "at_bits", "difference")),
        ]
        for step in row["steps"]
    ]
    headers = ["step", "% predicted", "NAT, bits a token", "AT, bits a token", "difference (C_i)"]
    return f"{row['system']}, {row['split']}:\n" + tabulate(
        body, headers, colalign=("right",) * 5, disable_numparse=True
    )


def distances_table(row: Row) -> str:
    """Figure 6 in numbers."""
    body = [
        [name.replace("_", " "), f"{value:.2f}", f"{-row['beta'] * value:.3f}"]
        for name, value in row["distances"].items()
    ]
    headers = ["pair", "mean sentence BLEU", f"× -β, β = {row['beta']:g}"]
    return tabulate(body, headers, colalign=("left", "right", "right"), disable_numparse=True)


def correlation_table(found: Row) -> str:
    """r, and how it depends on β."""
    body = []
    for decoding in DECODINGS:
        if decoding in found:
            r = found[decoding]["r"]
            cells = [_cell(r[key], 3) for key in ("l_nat", "l_target", "l_mple")]
            body.append([decoding, *cells, *(_cell(value, 3) for value in found[decoding]["by_beta"])])
    headers = ["BLEU", "L_NAT", "L̂_target", "L̂_MPLE", *(f"β = {beta:g}" for beta in found["betas"])]
    shown = tabulate(body, headers, colalign=("left", *("right",) * (len(headers) - 1)), disable_numparse=True)
    return (
        f"Pearson's r with BLEU over {len(found['systems'])} systems (β = {found['beta']:g}), and that of L̂_MPLE for "
        f"other β:\n{shown}"
    )


def tsv(rows: Sequence[Row]) -> str:
    """The numbers of the plot, one system a line; empty where there is none."""
    lines = ["\t".join(TSV_COLUMNS)]
    lines += ["\t".join(_tsv_cell(row.get(key)) for key in TSV_COLUMNS) for row in rows]
    return "".join(f"{line}\n" for line in lines)


def correlation_tsv(found: Row) -> str:
    """r of L̂_MPLE for each β, one line a way of decoding and β."""
    lines = ["bleu\tbeta\tr"]
    for decoding in DECODINGS:
        if decoding in found:
            for beta, value in zip(found["betas"], found[decoding]["by_beta"], strict=True):
                lines.append(f"{decoding}\t{beta:g}\t{_tsv_cell(value)}")
    return "".join(f"{line}\n" for line in lines)


def _cell(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"


def _tsv_cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.8g}" if isinstance(value, float) else str(value).replace("\t", " ")
