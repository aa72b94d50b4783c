"""The table of conditional total correlations, and what is to be known about each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from scripts.lib.results import Row
from scripts.lib.signatures import device_name, one_line

_LIKELIHOOD = ("nat_cross_entropy", "label_smoothed_cross_entropy", "cross_entropy")
"""Criterions that maximise the likelihood of the targets."""


def caveats(at: Any, nat: Any, data: Sequence[Path]) -> list[str]:
    """In what the two trainings are not those of Theorem 1: a NAT's marginals, an autoregressive model's joint.

    Args:
        at, nat: fairseq's configurations in the checkpoints.
        data: what either was trained on.
    """
    found = []
    for what, cfg in (("the autoregressive model", at), ("the NAT", nat)):
        if cfg.criterion._name not in _LIKELIHOOD:
            found.append(f"{what} was trained with {cfg.criterion._name}, not with the likelihood of its targets")
    masking = str(getattr(nat.model, "masking", "full"))
    if masking != "full":
        found.append(
            f"the NAT was trained with --masking {masking}, and is not vanilla: a canvas that shows nothing is only a "
            "part of what it has seen"
        )
    names = [folder.name for folder in data]
    if names[0] != names[1]:
        found.append(f"they were trained on different data, {names[0]} and {names[1]}")
    smoothing = [getattr(cfg.criterion, "label_smoothing", 0.0) for cfg in (at, nat)]
    if smoothing[0] != smoothing[1]:
        found.append(f"they were trained with different label smoothing, {smoothing[0]} and {smoothing[1]}")
    return found


def correlation_table(rows: Iterable[Row]) -> str:
    """A line a pair of models, as Table 1 of Huang et al. 2022 has them."""
    body = [
        [
            row["system"],
            row["split"],
            row["sentences"],
            f"{row['nat_nll']:.3f}",
            f"{row['at_nll']:.3f}",
            f"{row['total_correlation']:.3f} ± {row['total_correlation_se']:.3f}",
            f"{row['total_correlation_per_sentence']:.2f} ± {row['total_correlation_per_sentence_se']:.2f}",
        ]
        for row in rows
    ]
    headers = ["bits", "split", "sentences", "NAT", "AT", "C a token", "C a sentence"]
    return tabulate(body, headers, colalign=("left", "left", *("right",) * 5), disable_numparse=True)


def signature(row: Row, numbers: Mapping[str, str]) -> str:
    """What the figures depend on beside checkpoints and data, in one line.

    Args:
        numbers: versions of what was running.
    """
    parts = {
        "probabilities": "gold length, over words alone (no end marker)",
        "decoder": "AT teacher forcing, NAT fully masked",
        "se": "ratio estimator over sentences",
        "split": row["split"],
        "sentences": row["sentences"],
        "dtype": "fp32",
        "device": device_name("cuda" if torch.cuda.is_available() else "cpu"),
        **numbers,
    }
    return one_line(parts)
