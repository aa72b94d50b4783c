"""The whole step: it runs, and each criterion gets the same model, masks and dropout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import training_step
from benchmarks.training import BASELINE, CRITERIONS, Training
from nat_plugin.errors import UserError


def test_quick_run_saves_every_criterion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "step.json"
    training_step.main(["--quick", "--backends", "torch", "--output", str(output)])
    results = json.loads(output.read_text(encoding="utf-8"))
    assert [row["criterion"] for row in results["time"]] == list(CRITERIONS)
    assert [row["criterion"] for row in results["memory"]] == list(CRITERIONS)
    by_name = {row["criterion"]: row for row in results["time"]}
    assert by_name["nat_axe"]["bar"] == 1.02
    assert all(row["ratio"] > 0 and row["pairs"] == 2 for row in results["time"])
    assert "× baseline" in capsys.readouterr().out


def test_a_step_changes_the_weights() -> None:
    training = Training("cmlm_tiny", 60, 2, 5, "uniform", "cpu")
    before = [parameter.clone() for parameter in training.model.parameters()]
    training.step("nat_axe", "torch")()
    assert any(not torch.equal(old, new) for old, new in zip(before, training.model.parameters(), strict=True))


def test_both_ways_of_fairseqs_cross_entropy_cost_the_same() -> None:
    training = Training("cmlm_tiny", 60, 3, 5, "uniform", "cpu")
    training.model.eval()
    losses = [
        training._criterion(name)(training.model, training.sample)[0].detach()
        for name in (BASELINE, "fairseq_masked_cross_entropy")
    ]
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--arch", "bart_base"], "--arch bart_base is no CMLM or GLAT preset"),
        (["--vocabulary", "5"], "--vocabulary 5 leaves no words"),
        (["--batch", "0"], "must be at least 1"),
    ],
)
def test_refuses_in_one_sentence(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    settings: list[Any] = ["--malloc", "current", "--backends", "torch", "--output", str(tmp_path / "none.json")]
    with pytest.raises(UserError, match=sentence):
        training_step.main([*settings, *arguments])
