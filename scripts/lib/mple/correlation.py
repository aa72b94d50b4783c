"""How L̂_MPLE goes with BLEU over systems (Huang et al. 2022, Tables 2, 3, 7 and 8)."""

from __future__ import annotations

from collections.abc import Sequence

from nat_plugin.analysis.mple import correlations_by_beta, pearson, target_cost
from scripts.lib.results import Row

DECODINGS = ("default", "sampled")
PEOPLES = "people's"
"""What a row calls ``targets`` that are the data's own."""


def compares_with_itself(row: Row) -> bool:
    """Whether a system's proxy targets are made of the only reference that they are compared with."""
    return bool(row["only_reference"] and row["targets"] == PEOPLES)


def correlate(rows: Sequence[Row], beta: float, betas: Sequence[float]) -> Row | None:
    """Pearson's r over the systems whose L̂_MPLE is known and means something; None for fewer than three.

    Args:
        rows: of scripts/measure_mple.py.
        beta: of L̂_target.
        betas: for how r depends on it.

    Returns:
        ``systems``, their names; ``beta``; and for each way of decoding of which all of these systems have the BLEU,
        ``r`` of L̂_MPLE, L_NAT and L̂_target with it, and ``by_beta``, r of L̂_MPLE for each of ``betas``. A negative r is
        what the paper finds. An r is None where one side does not vary.
    """
    known = [row for row in rows if row["l_input"] is not None and not compares_with_itself(row)]
    if len(known) < 3:
        return None
    found: Row = {"systems": [row["system"] for row in known], "beta": beta, "betas": list(betas)}
    rest = [row["l_nat"] + row["l_input"] for row in known]
    sentence_bleu = [row["sentence_bleu"] for row in known]
    for decoding in DECODINGS:
        bleu = [row[f"bleu_{decoding}"] for row in known]
        if decoding == "sampled":  # without a proxy input there is nothing to sample, and the two are one
            bleu = [
                default if value is None and row["l_input"] == 0 else value
                for row, value, default in zip(known, bleu, (row["bleu_default"] for row in known), strict=True)
            ]
        if any(value is None for value in bleu):
            continue
        found[decoding] = {
            "r": {
                "l_mple": correlations_by_beta(rest, sentence_bleu, bleu, [beta])[0],
                "l_nat": pearson([row["l_nat"] for row in known], bleu),
                "l_target": pearson([target_cost(value, beta) for value in sentence_bleu], bleu),
            },
            "by_beta": correlations_by_beta(rest, sentence_bleu, bleu, betas),
        }
    return found
