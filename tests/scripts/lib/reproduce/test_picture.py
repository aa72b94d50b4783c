"""Pictures of tables: what is drawn, from which figures, and that nothing is drawn of nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.lib.reproduce.agreement import Figure
from scripts.lib.reproduce.catalogue import load_recipe
from scripts.lib.reproduce.picture import draw

Figures = Mapping[str, tuple[float | None, float | None]]


def texts(folder: Path, picture: dict[str, Any], **measures: Figures) -> list[str] | None:
    """The words of a picture of two rows, a and b; None if there is none."""
    recipe = {
        "source": "The paper", "shows": "s", "data": ["d"], "measures": ["bleu", "speedup"], "picture": picture,
        "rows": {"a": {"title": "A $1"}, "b": {"title": "B"}},
    }  # fmt: skip
    (folder / "mine.yaml").write_text(yaml.safe_dump(recipe))
    path = folder / "mine.svg"
    figures: dict[str, dict[str, Figure]] = {"bleu": {}, "speedup": {}}
    for name, of_rows in measures.items():
        figures[name] = {key: Figure(ours, 0.5, paper, 2) for key, (ours, paper) in of_rows.items()}
    if not draw(load_recipe("mine", folder=folder), figures, "ours", path):
        assert not path.exists()
        return None
    return re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text(encoding="utf-8"))


def test_lines_over_the_rows(tmp_path: Path) -> None:
    found = texts(tmp_path, {"up": "bleu"}, bleu={"a": (1, 10), "b": (2, 20)})
    assert found is not None
    assert [found.count(word) for word in ("A $1", "B", "BLEU", "ours", "The paper")] == [2, 2, 2, 1, 1]


def test_points_are_named_once(tmp_path: Path) -> None:
    both = {"bleu": {"a": (1, 10), "b": (2, 20)}, "speedup": {"a": (3, 1), "b": (4, None)}}
    found = texts(tmp_path, {"up": "bleu", "across": "speedup"}, **both)  # type: ignore[arg-type]
    assert found is not None
    assert [found.count(word) for word in ("A $1", "B", "L1 speed-up", "The paper")] == [1, 1, 2, 1]


def test_a_paper_without_figures_has_no_panel(tmp_path: Path) -> None:
    found = texts(tmp_path, {"up": ["bleu", "speedup"]}, bleu={"a": (1, 10)}, speedup={"b": (3, None)})
    assert found is not None
    assert "The paper" not in found
    assert {"BLEU", "L1 speed-up"} <= set(found)


@pytest.mark.parametrize("ours", [{}, {"a": (None, 10)}])
def test_nothing_of_ours_is_no_picture(tmp_path: Path, ours: Figures) -> None:
    assert texts(tmp_path, {"up": "bleu"}, bleu=ours) is None
