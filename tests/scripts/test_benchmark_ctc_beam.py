"""scripts/benchmark_ctc_beam.py: one row a configuration, and greedy decoding that is greedy."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

import pytest

from nat_plugin.errors import UserError
from scripts.benchmark_ctc_beam import canvases, greedy, main


def test_measures_every_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("flashlight.lib.text")
    output = tmp_path / "rows.json"
    small = ["--vocabulary", "40", "--slots", "6", "9", "--order", "2", "--sentences", "3", "--repeats", "2"]
    main([*small, "--tokens", "3", "--output", str(output)])
    rows = json.loads(output.read_text())["rows"]
    assert [(row["slots"], row["search"]) for row in rows] == [
        (slots, search) for slots in (6, 9) for search in ("greedy", "beam 20", "beam 20 + 2-gram")
    ]
    assert all(0 < row["least"] <= row["ms"] <= row["most"] for row in rows)
    assert "V = 40, 3 sentences, 2 runs" in capsys.readouterr().out
    with pytest.raises(UserError, match="--repeats is too small"):
        main(["--repeats", "0"])


def test_greedy_merges_and_drops() -> None:
    lprobs = canvases(20, 12, 5)
    for row, found in zip(lprobs.argmax(-1).tolist(), greedy(lprobs, 4), strict=True):
        assert found == [token for token, _ in groupby(row) if token != 4]
