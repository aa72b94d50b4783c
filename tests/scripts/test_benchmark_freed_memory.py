"""Trainings that keep freed memory against those that do not: each is a real one, and its speed is the log's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import freed_memory
from nat_plugin.errors import UserError
from tests.scripts.tiny_training import make_data, shared_settings

pytestmark = pytest.mark.end_to_end


def test_both_kinds_of_training_have_a_speed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, output = make_data(tmp_path / "data"), tmp_path / "rows.json"
    words = [word for word in shared_settings() if word != "machine=cpu"]  # which is said already
    shared = ["--data", str(data), "--methods", "teacher", "--pairs", "1", "--output", str(output)]
    freed_memory.main([*shared, *words])
    [row] = json.loads(output.read_text(encoding="utf-8"))["rows"]
    assert (row["method"], row["pairs"]) == ("teacher", 1)
    assert row["speedup"] == pytest.approx(row["updates_per_second"] / row["baseline_updates_per_second"])
    assert 0.5 < row["memory_ratio"] < 2  # of forks' stand-ins, which are alike
    assert "| `teacher`" in capsys.readouterr().out


def test_a_training_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the training of teacher failed: error: .*nowhere"):
        freed_memory.main(["--data", str(tmp_path / "nowhere"), "--output", str(tmp_path / "rows.json")])
    with pytest.raises(UserError, match="--pairs and --threads must be at least 1"):
        freed_memory.main(["--pairs", "0"])
