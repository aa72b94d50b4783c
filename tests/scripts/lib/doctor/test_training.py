"""What the doctor says of runs that were spoilt in one place."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch

from nat_plugin.files import write_json
from scripts.lib.doctor.findings import Finding, Level
from scripts.lib.doctor.folder import DataFolder
from scripts.lib.doctor.training import examine_run
from scripts.lib.runs import Run
from tests.scripts.tiny_training import SOURCE, TARGET, make_data
from tests.scripts.untrained_runs import copy_run, make_run


@pytest.fixture(scope="module")
def nat_run(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tiny_data, tmp_path_factory.mktemp("nat") / "run", "cmlm_ce")


def examine(run: Path, data: Path | None = None) -> list[Finding]:
    return list(examine_run(run, DataFolder.open(data) if data else None))


def told(findings: list[Finding], level: Level) -> list[str]:
    return [finding.text for finding in findings if finding.level is level]


def test_a_finished_teacher(teacher_run: Path) -> None:
    findings = examine(teacher_run)
    assert not told(findings, Level.PROBLEM)
    good = told(findings, Level.GOOD)
    assert f"method teacher, {SOURCE}→{TARGET}" in good[0]
    assert "finished after 60 updates of 60" in good
    assert any("decoded with beam=5" in text for text in good)
    assert not any("raw text" in text for text in told(findings, Level.NOTE))  # as a teacher should be


def test_what_explains_a_low_score(nat_run: Path, tmp_path: Path) -> None:
    notes = told(examine(nat_run), Level.NOTE)
    assert [text.split(";")[0].split(":")[0] for text in notes] == [
        "stopped after 0 updates of 6.", "translated with checkpoint_last.pt alone", "trained on raw text",
        "λ and the number of lengths are not tuned.",
    ]  # fmt: skip
    run = copy_run(nat_run, tmp_path / "run")
    write_json(run / "tuned.json", {"length_multiplier": 1.1})
    findings = examine(run)
    assert not any("not tuned" in text for text in told(findings, Level.NOTE))
    assert any("length_multiplier=1.1" in text for text in told(findings, Level.GOOD))


def test_averaging(teacher_run: Path, tmp_path: Path) -> None:
    run = Run(copy_run(teacher_run, tmp_path / "run"))
    assert run.averaged_from()
    assert any(text.startswith("translated with the mean of") for text in told(examine(run.folder), Level.GOOD))
    config = run.read_config()
    config["fairseq"]["criterion"] = "nat_ctc"
    run.write_config(config)
    assert any("a CTC model goes on gaining BLEU" in text for text in told(examine(run.folder), Level.NOTE))
    config["average"] = {"kind": "last", "count": 5}
    run.write_config(config)
    assert not any("a CTC model" in text for text in told(examine(run.folder), Level.NOTE))


def test_numbers_that_are_none(nat_run: Path, tmp_path: Path) -> None:
    run = Run(copy_run(nat_run, tmp_path / "run"))
    state = torch.load(run.last_checkpoint, weights_only=False)  # our own; as it lies there
    state["model"]["decoder.layers.0.fc1.weight"][0, 0] = float("nan")
    torch.save(state, run.last_checkpoint)
    [problem] = told(examine(run.folder), Level.PROBLEM)
    assert "1 parameters hold NaN or infinity, decoder.layers.0.fc1.weight for one" in problem


def test_a_checkpoint_that_is_cut_off(teacher_run: Path, tmp_path: Path) -> None:
    run = Run(copy_run(teacher_run, tmp_path / "run"))
    run.last_checkpoint.write_bytes(run.last_checkpoint.read_bytes()[:1000])
    [problem] = [finding for finding in examine(run.folder) if finding.level is Level.PROBLEM]
    assert str(run.last_checkpoint) in problem.text
    assert "goes on from the checkpoint before" in problem.remedy


def test_data_of_another_vocabulary(nat_run: Path, tiny_data: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(tiny_data, tmp_path / "other"))
    dictionary = other / f"dict.{SOURCE}.txt"
    lines = dictionary.read_text(encoding="utf-8").splitlines(keepends=True)
    dictionary.write_text("".join([lines[1], lines[0], *lines[2:]]), encoding="utf-8")
    [problem] = told(examine(nat_run, other), Level.PROBLEM)
    assert "hold other words than those of" in problem
    dictionary.write_text("".join(lines[1:]), encoding="utf-8")
    [problem] = told(examine(nat_run, other), Level.PROBLEM)
    assert problem.startswith("encoder.embed_tokens.weight has")
    assert not told(examine(nat_run, make_data(tmp_path / "same")), Level.PROBLEM)


def test_overfitting(teacher_run: Path, tmp_path: Path) -> None:
    run = Run(copy_run(teacher_run, tmp_path / "run"))
    log = run.log_file.read_text(encoding="utf-8")
    line = [line for line in log.splitlines() if "| valid |" in line][-1]
    later = line.replace('"valid_num_updates": "60"', '"valid_num_updates": "99"')
    worse = re.sub('"valid_loss": "[^"]*"', '"valid_loss": "77"', later)
    run.log_file.write_text(f"{log}{worse}\n")
    assert any("77.000 after 99: the model overfits" in text for text in told(examine(run.folder), Level.NOTE))


def test_a_checkpoint_without_its_run(nat_run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "model.pt"
    shutil.copy(Run(nat_run).last_checkpoint, alone)
    findings = examine(alone)
    assert not told(findings, Level.PROBLEM)
    assert any("fairseq's defaults" in text for text in told(findings, Level.GOOD))


def test_a_run_without_a_checkpoint(nat_run: Path, tmp_path: Path) -> None:
    run = Run(copy_run(nat_run, tmp_path / "run"))
    run.last_checkpoint.unlink()
    [problem] = told(examine(run.folder), Level.PROBLEM)
    assert "holds no checkpoint" in problem
