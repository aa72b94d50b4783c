"""scripts/doctor.py: what is looked at, what is printed, and how it ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from nat_plugin.errors import UserError
from scripts.doctor import main
from scripts.lib.doctor import machine
from scripts.lib.doctor.findings import Level
from tests.scripts.tiny_training import SOURCE, TARGET


def test_a_machine_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    told = capsys.readouterr().out
    assert told.startswith("this machine\n")
    assert "CPU cores" in told
    assert told.splitlines()[-1].startswith("0 problems, ")


def test_data_and_a_run_that_goes_with_it(
    teacher_run: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "found.json"
    assert main([str(tiny_data), str(teacher_run), "--output", str(output)]) == 0
    rows = json.loads(output.read_text(encoding="utf-8"))
    subjects = list(dict.fromkeys(row["subject"] for row in rows))
    assert subjects == ["this machine", f"data {tiny_data}", f"run {teacher_run}"]
    assert all(row["remedy"] for row in rows if row["level"] == "problem")
    assert f"run {teacher_run}\n" in capsys.readouterr().out


def test_a_problem_is_an_exit_status(
    teacher_run: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    (data / f"valid.{SOURCE}-{TARGET}.{TARGET}.bin").unlink()
    assert main([str(data), str(teacher_run), "--problems"]) == 1
    told = capsys.readouterr().out
    assert "  PROBLEM: " in told
    assert "  ok: " not in told
    assert "1 problem, " in told.splitlines()[-1]


def test_refuses_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="name data folders, run folders or checkpoints"):
        main([str(tmp_path / "none")])


def test_kernels_that_are_not_built_and_packages_that_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "backend_in_use", lambda device: ("torch", "cpp: no compiler"))
    monkeypatch.setattr(machine, "_OPTIONAL", (("no_such_package.part", "part of the work", "pip install it"),))
    monkeypatch.setattr(machine, "_distribution", lambda name: False)
    found = list(machine.examine_machine(tmp_path))
    notes = [finding for finding in found if finding.level is Level.NOTE]
    assert any("several times slower than they could be: cpp: no compiler" in finding.text for finding in notes)
    assert any(finding.text == "no_such_package.part is not installed: no part of the work." for finding in notes)
    [problem] = [finding for finding in found if finding.level is Level.PROBLEM]
    assert (problem.text, problem.remedy) == ("fairseq is not installed.", "run make setup")
