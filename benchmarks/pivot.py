"""Tables for people, as Markdown: one row a loss and backend, one column a case, and at the end the bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from tabulate import tabulate

from benchmarks.bars import verdict
from benchmarks.problems import Shape

Figure = dict[str, Any]


def pivot(figures: Sequence[Figure], value: str, bar: str, decimals: int = 2, worst: bool = True) -> str:
    """Cases side by side. A value above its bar is bold.

    Args:
        figures: each with ``title``, ``backend``, ``case``, a number (or None) under ``value`` and a bar (or None)
            under ``bar``.
        worst: whether the largest value has a column of its own.
    """
    cases = list(dict.fromkeys(figure["case"] for figure in figures))
    rows: dict[tuple[str, str], list[Figure]] = {}
    for figure in figures:
        rows.setdefault((figure["title"], figure["backend"] or "–"), []).append(figure)
    body = []
    for (title, backend), row in rows.items():
        by_case = {figure["case"]: figure for figure in row}
        values = [figure[value] for figure in row if figure[value] is not None]
        aim: Optional[float] = row[0][bar]
        cells = [_cell(by_case.get(case, {}).get(value), aim, decimals) for case in cases]
        if worst:
            cells.append(_cell(max(values, default=None), aim, decimals))
        aimed = "–" if aim is None else f"≤ {aim:g}"
        body.append([title, backend, *cells, aimed, verdict(values, aim)])
    headers = ["loss", "backend", *cases, *(["worst"] if worst else []), "bar", ""]
    return markdown(body, headers, left=2)


def markdown(body: Sequence[Sequence[object]], headers: Sequence[str], left: int) -> str:
    """A Markdown table; the first ``left`` columns are text, the others figures, and one without a heading a remark."""
    align = ["left" if place < left or not heading else "right" for place, heading in enumerate(headers)]
    return tabulate(body, headers, tablefmt="pipe", colalign=align, disable_numparse=True)


def case_name(shape: Shape) -> str:
    """A column's heading; the canvas of CTC is three times as wide, which the heading leaves to the text."""
    thousands = f"{shape.vocabulary // 1000}k" if shape.vocabulary % 1000 == 0 else str(shape.vocabulary)
    return f"{thousands} {shape}"


def _cell(value: Optional[float], aim: Optional[float], decimals: int) -> str:
    if value is None:
        return "–"
    shown = f"{value:.{decimals}f}"
    return f"**{shown}**" if aim is not None and value > aim else shown
