"""The exported forms of random models: they say the same, and a quick run says whether the bar is met."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import export
from nat_plugin.errors import UserError


def test_quick_run_saves_three_forms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for needed in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(needed)
    output = tmp_path / "export.json"
    export.main(["--quick", "--clock", "cpu", "--output", str(output)])
    results = json.loads(output.read_text(encoding="utf-8"))
    kinds = ["torch", "ONNX Runtime", "ONNX Runtime, int8"]
    titles = [f"CTC, s = 3: {kind}" for kind in kinds]
    assert [row["title"] for row in results["l1"]] == titles
    assert [row["title"] for row in results["lmax"]] == ["autoregressive 2-1, beam 1", *titles]
    in_torch, single, rounded = results["l1"]
    assert in_torch["speedup"] == 1.0
    assert single["same_tokens"]
    assert (in_torch["bytes"], single["bar"], rounded["bar"]) == (None, None, 1.8)
    assert rounded["bytes"] != single["bytes"]
    alone, _, batches = capsys.readouterr().out.partition("**Lmax")
    verdicts = ["meets" if row["speedup"] >= 1.8 else "misses" for row in results["l1"] if row["bar"]]
    lines = [line for line in alone.splitlines() if line.startswith("|") and "int8" in line]
    assert [line.rstrip(" |").split()[-1] for line in lines] == verdicts
    assert all(title in batches for title in titles)


def test_refuses_numbers_out_of_range() -> None:
    with pytest.raises(UserError, match="must be at least 1"):
        export.main(["--repeats", "0"])
