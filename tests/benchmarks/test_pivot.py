"""Tables: what is above a bar is seen, and a page's block is replaced and nothing else."""

from __future__ import annotations

import pytest

from benchmarks.bars import verdict
from benchmarks.pivot import case_name, pivot
from benchmarks.problems import Shape


def figure(case: str, ratio: float | None, bar: float | None = 1.1) -> dict[str, object]:
    return {"title": "AXE", "backend": "torch", "case": case, "ratio": ratio, "bar": bar}


@pytest.mark.parametrize(
    ("values", "bar", "word"),
    [
        ([0.5], 0.6, "meets"),
        ([0.6], 0.6, "meets"),
        ([0.7], 0.6, "misses"),
        ([0.5, 0.7, 0.8], 0.6, "misses at 2 of 3"),
        ([0.5], None, "–"),
        ([], 0.6, "–"),
    ],
)
def test_verdict(values: list[float], bar: float | None, word: str) -> None:
    assert verdict(values, bar) == word


def test_a_miss_is_bold_and_counted() -> None:
    row = pivot([figure("8k", 1.05), figure("32k", 1.2)], "ratio", "bar").splitlines()[-1]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == ["AXE", "torch", "1.05", "**1.20**", "**1.20**", "≤ 1.1", "misses at 1 of 2"]


def test_what_could_not_be_measured_is_a_dash() -> None:
    row = pivot([figure("8k", None)], "ratio", "bar").splitlines()[-1]
    assert [cell.strip() for cell in row.strip("|").split("|")] == ["AXE", "torch", "–", "–", "≤ 1.1", "–"]


def test_names_of_cases() -> None:
    assert case_name(Shape(32, 30, 30, 8000)) == "8k (32, 30, 30)"
    assert case_name(Shape(2, 6, 6, 50)) == "50 (2, 6, 6)"
