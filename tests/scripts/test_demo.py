"""scripts/demo.py with its steps replaced: which commands in which order, and the table that comes out."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nat_plugin.errors import UserError
from scripts import demo
from scripts.lib import steps as script_steps

FIGURES = {
    demo.TEACHER: (99.0, 0.0, 20.0),
    demo.STUDENTS["cmlm_ce"]: (60.0, 0.12, 5.0),
    demo.STUDENTS["cmlm_axe"]: (73.0, 0.04, 4.0),
}


class Steps:
    """Stands in for :func:`scripts.lib.steps.start`: notes each command, and lets evaluate.py write rows."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.threads: list[int | None] = []
        self.failing = ""
        self.running = self.most_at_once = 0

    def __call__(self, command: Sequence[str], threads: int | None = None) -> Steps._Process:
        self.commands.append(list(command))
        self.threads.append(threads)
        if command[0] == "evaluate.py":
            self._evaluate(Path(command[command.index("--output") + 1]))
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        return self._Process(self, 1 if self.failing and self.failing in command else 0)

    class _Process:
        def __init__(self, steps: Steps, status: int) -> None:
            self.steps, self.status = steps, status

        def wait(self) -> int:
            self.steps.running -= 1
            return self.status

    def _evaluate(self, output: Path) -> None:
        rows = [
            {
                "system": "as evaluate.py calls it",
                "checkpoint": f"{folder}/checkpoints/averaged.pt",
                "bleu": bleu,
                "repeated_tokens": repeated,
                "ms_per_sentence": time,
                "signature": "nrefs:32",
            }
            for folder, (bleu, repeated, time) in reversed(FIGURES.items())
        ]
        output.write_text(json.dumps(rows))


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    steps = Steps()
    monkeypatch.chdir(tmp_path)  # main changes it, and this changes it back
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    monkeypatch.setattr(script_steps, "start", steps)
    monkeypatch.setattr(demo, "cores", lambda: 2)
    (tmp_path / "results").mkdir()
    return steps


def test_one_table_with_the_time_of_a_sentence_alone(steps: Steps, capsys: pytest.CaptureFixture[str]) -> None:
    demo.main(["--seed", "7"])
    scripts = [command[0] for command in steps.commands]
    assert scripts == [
        "generate_corpus.py",
        "prepare.py",
        "train.py",
        "distill.py",
        "train.py",
        "train.py",
        "evaluate.py",
    ]
    assert steps.commands[0][-2:] == ["--seed", "7"]
    assert all("fairseq.seed=7" in command for command in steps.commands if command[0] == "train.py")
    evaluate = steps.commands[-1]
    assert evaluate[1:4] == list(FIGURES)
    assert evaluate[evaluate.index("--set") + 1] == "batch_size=1"
    assert not steps.threads[-1], "one thread, which is what no number means"

    rows: list[dict[str, Any]] = json.loads(Path("results/demo.json").read_text(encoding="utf-8"))
    assert [row["system"] for row in rows] == list(demo.SYSTEMS.values())
    assert [(row["bleu"], row["repeated_tokens"], row["ms_per_sentence"]) for row in rows] == list(FIGURES.values())
    shown = capsys.readouterr().out
    lines = [line.split() for line in shown.splitlines() if line.startswith(tuple(demo.SYSTEMS.values()))]
    assert [line[-6:] for line in lines][2] == ["73.0", "4.00", "%", "4.00", "5.0", "×"]
    assert "a sentence translated alone" in shown


@pytest.mark.parametrize(("cores", "at_once"), [(1, 1), (2, 2)])
def test_students_train_side_by_side_where_there_are_two_cores(
    steps: Steps, monkeypatch: pytest.MonkeyPatch, cores: int, at_once: int
) -> None:
    monkeypatch.setattr(demo, "cores", lambda: cores)
    demo.train_students(1)
    assert steps.most_at_once == at_once
    assert [command[2] for command in steps.commands] == ["method=cmlm_ce", "method=cmlm_axe"]
    for command in steps.commands:
        differences = {"method=cmlm_ce", "method=cmlm_axe", "fairseq.skip_target_penalty=3"}
        assert sorted({*command} - differences) == sorted(
            ["train.py", "data=generated_kd", "size=demo", "budget=demo", "fairseq.seed=1", "fairseq.masking=full"]
        ), "both get the same options but for the loss"


def test_a_failed_step_ends_the_demo_with_its_command(steps: Steps) -> None:
    steps.failing = "method=cmlm_axe"
    with pytest.raises(UserError, match=r"scripts/train\.py .*method=cmlm_axe.* failed"):
        demo.main([])
    steps.failing = "generate_corpus.py"
    with pytest.raises(UserError, match=r"scripts/generate_corpus\.py failed"):
        demo.main([])


def test_fresh_deletes_the_demos_folders_alone(steps: Steps) -> None:
    own = [demo.CORPUS_FILES, demo.DATA, demo.DISTILLED, demo.TEACHER, *demo.STUDENTS.values()]
    for folder in (*own, "runs/generated/mine", "data-bin/mine"):
        os.makedirs(folder)
    demo.main(["--fresh"])
    assert not any(Path(folder).exists() for folder in own)
    assert Path("runs/generated/mine").is_dir()
    assert Path("data-bin/mine").is_dir()
