"""Whether our figures say what the paper's say: the order of the rows, and the gaps between named pairs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from scipy.stats import kendalltau

from nat_plugin.errors import UserError
from scripts.compare import choose_references, read_system
from scripts.lib.comparison import SAMPLES, paired_bootstrap
from scripts.lib.reproduce.measures import Measure
from scripts.lib.results import Row
from scripts.lib.scoring import default_tokenizer

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Figure:
    """One measure of one row, in the unit of the table.

    Attributes:
        ours: the mean over seeds; None where there is none.
        deviation: standard deviation over seeds; None for one seed.
        paper: None where the paper has none.
    """

    ours: float | None
    deviation: float | None
    paper: float | None
    seeds: int


@dataclass(frozen=True)
class Order:
    """How the rows stand by one measure, ours against the paper's.

    Attributes:
        rows: how many have both figures.
        tau: Kendall's τ-b, 1 for the same order; None where all figures of one side are equal.
        p_value: how often rows in random order would agree, or disagree, as much.
        swapped: pairs of rows that stand the other way round, the better one of the paper first.
    """

    measure: str
    rows: int
    tau: float | None
    p_value: float | None
    swapped: list[tuple[str, str]]


@dataclass(frozen=True)
class Gap:
    """The difference between two rows by the first measure.

    Attributes:
        ours, paper: the first minus the second, in the unit of the table.
        p_values: of each seed, by paired bootstrap of sacreBLEU, where both translations are there.
        verdict: what there is to say about it.
    """

    first: str
    second: str
    ours: float | None
    paper: float | None
    p_values: dict[str, float]
    verdict: str


def figure(rows: Sequence[Row], measure: Measure) -> Figure:
    """One row's figure over its seeds."""
    found = [measure.factor * row[measure.name] for row in rows if row.get(measure.name) is not None]
    paper = next((row["paper"].get(measure.name) for row in rows if row.get("paper")), None)
    deviation = stdev(found) if len(found) > 1 else None
    return Figure(fmean(found) if found else None, deviation, paper, len(found))


def order(figures: Mapping[str, Figure], measure: str) -> Order | None:
    """How far the order agrees; None for fewer than three rows that have both figures."""
    both = {
        key: (each.ours, each.paper)
        for key, each in figures.items()
        if each.ours is not None and each.paper is not None
    }
    if len(both) < 3:
        return None
    ours, paper = zip(*both.values(), strict=True)
    tau, p_value = kendalltau(ours, paper)
    swapped = []
    for first, second in itertools.permutations(both, 2):
        if both[first][1] > both[second][1] and both[first][0] < both[second][0]:
            swapped.append((first, second))
    return Order(measure, len(both), _number(tau), _number(p_value), swapped)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def gap(
    first: str, second: str, figures: Mapping[str, Figure], rows: Mapping[str, Sequence[Row]], old: Mapping[str, float]
) -> Gap:
    """The difference between two rows, and whether the paper's goes the same way.

    Args:
        rows: of each key, one a seed.
        old: p-values by seed that were found before, for translations that are no more there.
    """
    one, other = figures.get(first), figures.get(second)
    ours = _difference(one.ours if one else None, other.ours if other else None)
    paper = _difference(one.paper if one else None, other.paper if other else None)
    p_values = dict(old)
    for seed, (left, right) in _by_seed(rows.get(first, ()), rows.get(second, ())).items():
        found = _p_value(left, right)
        if found is not None:
            p_values[seed] = found
    return Gap(first, second, ours, paper, p_values, _verdict(ours, paper, p_values))


def _difference(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left - right


def _by_seed(left: Sequence[Row], right: Sequence[Row]) -> dict[str, tuple[Row, Row]]:
    others = {row["seed"]: row for row in right}
    return {str(row["seed"]): (row, others[row["seed"]]) for row in left if row["seed"] in others}


def _p_value(left: Row, right: Row) -> float | None:
    """None where the two are not of the same test set, or their translations are gone."""
    paths = [Path(row.get("translation") or "") for row in (right, left)]
    if not all(path.is_file() for path in paths):
        return None
    try:
        systems = [read_system(path) for path in paths]
        references = choose_references(systems, None)
    except UserError:
        return None
    tokenizer = default_tokenizer(systems[0].target_lang)
    named = {"second": systems[0].lines, "first": systems[1].lines}
    compared, _ = paired_bootstrap(named, references, tokenizer=tokenizer, samples=SAMPLES)
    return compared["first"].p_value


def _verdict(ours: float | None, paper: float | None, p_values: Mapping[str, float]) -> str:
    if ours is None:
        return "not measured yet"
    sure = bool(p_values) and max(p_values.values()) < SIGNIFICANT
    if p_values and not sure:
        return "ours are not told apart"
    if paper is None:
        return "the paper has none"
    return "agrees" if ours * paper > 0 else "the other way round"
