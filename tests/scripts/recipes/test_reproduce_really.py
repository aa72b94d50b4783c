"""The shortest recipe with the real scripts, from prepared text to the table."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from scripts import reproduce
from tests.scripts import tiny_training


class InProcess:
    """Stands in for :func:`scripts.lib.steps.start`: runs the script's ``main`` here; fairseq has its own process."""

    def __init__(self, command: Sequence[str], threads: int | None = None, **more: Any) -> None:
        script, *words = command
        importlib.import_module(f"scripts.{script.removesuffix('.py')}").main(words)

    def poll(self) -> int:
        return 0


@pytest.mark.end_to_end
def test_a_figure_from_prepared_text(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("scripts.lib.steps.start", InProcess)
    small = tiny_training.shared_settings(max_update=40)
    words = ["haviv_figure3", "--data", str(tiny_data), "--runs", "runs", "--output", "tables", *small]
    reproduce.main(words)
    [path] = Path("tables").glob("*/haviv_figure3.json")
    [row] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert (row["row"], row["updates"], row["run"]) == ("at_axe", 40, f"runs/{tiny_data.name}/at_axe_tiny")
    assert 0 <= row["constant"] <= 1
    assert row["signature"]
    assert row["parameters"] > 1000
    assert row["training_minutes"] >= 0
    assert "fairseq-generate" in row["commands"]["translation"]
    # What is done is seen to be done by what the real scripts leave.
    monkeypatch.setattr("scripts.lib.steps.start", None)
    reproduce.main(words)
