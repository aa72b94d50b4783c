"""Order and gaps: known cases, and that a verdict follows from the numbers."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.lib.reproduce import agreement
from scripts.lib.reproduce.agreement import Figure, figure, gap, order
from scripts.lib.reproduce.measures import MEASURES


def figures(**pairs: tuple[float | None, float | None]) -> dict[str, Figure]:
    return {key: Figure(ours, None, paper, 1) for key, (ours, paper) in pairs.items()}


def test_the_same_order_and_the_opposite_one() -> None:
    same = order(figures(a=(1, 10), b=(2, 20), c=(3, 30)), "bleu")
    assert same is not None
    assert (same.tau, same.rows, same.swapped) == (pytest.approx(1), 3, [])
    opposite = order(figures(a=(3, 10), b=(2, 20), c=(1, 30)), "bleu")
    assert opposite is not None
    assert opposite.tau == pytest.approx(-1)
    assert set(opposite.swapped) == {("b", "a"), ("c", "a"), ("c", "b")}


def test_one_swapped_pair_of_four() -> None:
    found = order(figures(a=(1, 1), b=(3, 2), c=(2, 3), d=(4, 4)), "bleu")
    assert found is not None
    assert found.tau == pytest.approx((5 - 1) / 6)
    assert found.swapped == [("c", "b")]


def test_rows_without_a_figure_do_not_count() -> None:
    assert order(figures(a=(1, 1), b=(None, 2), c=(3, None), d=(4, 4)), "bleu") is None
    all_alike = order(figures(a=(5, 1), b=(5, 2), c=(5, 3)), "bleu")
    assert all_alike is not None
    assert all_alike.tau is None


def test_a_figure_over_seeds_in_the_unit_of_the_table() -> None:
    rows: list[dict[str, Any]] = [
        {"repeated_tokens": 0.1, "paper": {"repeated_tokens": 16.72}},
        {"repeated_tokens": 0.3, "paper": {"repeated_tokens": 16.72}},
    ]
    found = figure(rows, MEASURES["repeated_tokens"])
    assert (found.ours, found.deviation, found.paper, found.seeds) == (
        pytest.approx(20), pytest.approx(14.142, abs=1e-3), 16.72, 2
    )  # fmt: skip
    assert figure([{"paper": {}}], MEASURES["bleu"]) == Figure(None, None, None, 0)


@pytest.mark.parametrize(
    ("ours", "paper", "p_values", "verdict"),
    [
        ((12, 10), (23, 18), {}, "agrees"),
        ((12, 10), (23, 18), {"1": 0.01, "2": 0.04}, "agrees"),
        ((12, 10), (23, 18), {"1": 0.01, "2": 0.2}, "ours are not told apart"),
        ((10, 12), (23, 18), {"1": 0.01}, "the other way round"),
        ((12, 10), (None, 18), {"1": 0.01}, "the paper has none"),
        ((None, 10), (23, 18), {}, "not measured yet"),
    ],
)
def test_verdicts(ours: Any, paper: Any, p_values: dict[str, float], verdict: str) -> None:
    both = figures(a=(ours[0], paper[0]), b=(ours[1], paper[1]))
    found = gap("a", "b", both, {}, p_values)
    assert found.verdict == verdict
    assert found.p_values == p_values


def test_p_values_of_translations_that_are_gone_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "_p_value", lambda left, right: {1: 0.5, 2: None}[left["seed"]])
    rows = {key: [{"seed": seed, "paper": {}} for seed in (1, 2)] for key in "ab"}
    found = gap("a", "b", figures(a=(2, 2), b=(1, 1)), rows, {"1": 0.01, "2": 0.02})
    assert found.p_values == {"1": 0.5, "2": 0.02}
