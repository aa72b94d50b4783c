"""How small an autoregressive model may be and still translate as well as a NAT (Huang et al. 2022, Table 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Optional


class Rung(NamedTuple):
    """A model: how many parameters it has, and its BLEU."""

    parameters: int
    bleu: float


class Bracket(NamedTuple):
    """Between which sizes of an autoregressive model a NAT's BLEU lies.

    Attributes:
        below: the rung just below; None where the smallest model is as good as the NAT already.
        above: the smallest model that is as good as the NAT or better; None where none is.
        monotone: whether every larger model is at least as good; if not, others of the ladder would do as well.
    """

    below: Optional[Rung]
    above: Optional[Rung]
    monotone: bool


def bracket(ladder: Sequence[Rung], bleu: float) -> Bracket:
    """Where on a ladder of autoregressive models ``bleu`` stands.

    Args:
        ladder: at least one model, in any order.
        bleu: of the NAT.

    Raises:
        ValueError: the ladder is empty, or two of its models are of one size.
    """
    rungs = sorted(ladder)
    sizes = [rung.parameters for rung in rungs]
    if not rungs or len(set(sizes)) < len(sizes):
        raise ValueError("a ladder has models of different sizes")
    scores = [rung.bleu for rung in rungs]
    reached = next((place for place, score in enumerate(scores) if score >= bleu), len(rungs))
    return Bracket(
        below=rungs[reached - 1] if reached else None,
        above=rungs[reached] if reached < len(rungs) else None,
        monotone=scores == sorted(scores),
    )
