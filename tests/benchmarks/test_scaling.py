"""The scaling benchmark runs, saves points and slopes, and draws them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import scaling


def test_quick_run_saves_points_slopes_and_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    output = tmp_path / "scaling.json"
    scaling.main(["--quick", "--backends", "torch", "--losses", "axe", "ctc", "--output", str(output)])
    results = json.loads(output.read_text(encoding="utf-8"))
    assert {point["axis"] for point in results["points"]} == {"batch", "vocabulary", "cells"}
    # 2 losses against B and V, 3 programs against n·m
    assert len(results["slopes"]) == 2 * 2 + 3
    assert results["machine"]["versions"]["torch"]
    assert "slope" in capsys.readouterr().out
    picture = output.with_suffix(".svg").read_text(encoding="utf-8")
    assert "cost against n·m" in picture


def test_slopes_are_of_each_line_by_itself() -> None:
    points = [
        {"axis": "batch", "title": "AXE", "backend": backend, "size": size, "ms": size**power}
        for backend, power in (("torch", 1), ("cpp", 2))
        for size in (1, 2, 4)
    ]
    assert {row["backend"]: row["slope"] for row in scaling.slopes(points)} == pytest.approx({"torch": 1, "cpp": 2})
