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
    assert [model["system"] for model in results["models"]] == ["one pass, m = n", "CTC, s = 3"]
    for model in results["models"]:
        torch_form, single, rounded = model["forms"]
        assert (torch_form["form"], single["form"], rounded["form"]) == ("torch", "fp32", "int8")
        assert torch_form["speedup"] == 1.0
        assert single["same_tokens"]
        assert rounded["bytes"] != single["bytes"]
    shown = capsys.readouterr().out
    verdicts = ["meets" if model["forms"][2]["speedup"] >= 1.8 else "misses" for model in results["models"]]
    lines = [line for line in shown.splitlines() if line.startswith("|") and "int8" in line]
    assert [line.rstrip(" |").split()[-1] for line in lines] == verdicts


def test_refuses_numbers_out_of_range() -> None:
    with pytest.raises(UserError, match="must be at least 1"):
        export.main(["--repeats", "0"])
