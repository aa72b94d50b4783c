"""scripts/recipes/latent_alignment_at.py with its steps replaced: which commands, what is kept, and what is written."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nat_plugin.errors import UserError
from scripts.recipes import latent_alignment_at as recipe
from tests.scripts.recipes.pretended_steps import PretendedSteps

BLEU = {"at_ce": (30.0, 0.0), "at_axe": (0.0, 1.0), "at_causal_axe": (29.0, 0.0), "at_ctc_doubled": (0.1, 0.5)}


class Steps(PretendedSteps):
    """AXE and doubled CTC are gamed."""

    def written(self, script: str, words: Sequence[str]) -> list[tuple[Path, dict[str, Any]]]:
        run = Path(words[0])
        name = "test.json" if script == "evaluate.py" else "alignments_valid.json"
        return [(run / "results" / name, self._row(script, run))]

    def _row(self, script: str, run: Path) -> dict[str, Any]:
        method = run.name.removesuffix("_demo")
        shared = {"system": run.name, "signature": f"of {script}", "command": script}
        if script == "evaluate.py":
            bleu, empty = BLEU[method]
            return {
                **shared, "bleu": bleu, "empty_outputs": empty, "length_ratio": 1.0, "decoding": {}, "data": "d",
                "checkpoint": "c", "device": "cpu",
            }  # fmt: skip
        gamed = float(method in ("at_axe", "at_ctc_doubled"))
        return {
            **shared, "sentences": 10, "targets": 100, "trivial": 1 - gamed, "constant": gamed, "own_input": gamed / 2,
            "operators": {}, "last_prediction": {}, "patterns": [{"pattern": str(number)} for number in range(5)],
        }  # fmt: skip


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    steps = Steps()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("scripts.lib.steps.start", steps)
    return steps


WORDS = ["--data", "generated", "--size", "demo", "--budget", "demo", "--output", "out.json", "fairseq.max_update=100"]


def test_the_whole_argument_in_one_table(steps: Steps, capsys: pytest.CaptureFixture[str]) -> None:
    recipe.main(WORDS)
    assert steps.scripts == ["train.py", "evaluate.py", "analyse_alignments.py"] * 4
    trainings = [command for command in steps.commands if command[0] == "train.py"]
    assert [command[4] for command in trainings] == [f"method={method}" for method in BLEU]
    assert all(command[-1] == "fairseq.max_update=100" for command in trainings)
    expected = {command[4] for command in trainings if "fairseq.expect_degeneration=true" in command}
    assert expected == {"method=at_axe", "method=at_ctc_doubled"}  # elsewhere their criterions warn
    assert all({"data=generated", "size=demo", "budget=demo"} < set(command) for command in trainings)

    rows = json.loads(Path("out.json").read_text(encoding="utf-8"))
    assert [row["system"] for row in rows] == list(recipe.SYSTEMS.values())
    assert [(row["bleu"], row["empty_outputs"]) for row in rows] == list(BLEU.values())
    assert all((row["training_loss"], row["best_validation_loss"]) == (1.5, 1.75) for row in rows)
    assert all(row["floor"] == 0.2 and len(row["patterns"]) == 3 and row["updates"] == 100 for row in rows)
    assert len(json.loads(Path("out.alignments.json").read_text(encoding="utf-8"))) == 4
    with open("out.curves.tsv", encoding="utf-8", newline="") as handle:
        lines = [line for line in csv.DictReader(handle, delimiter="\t") if line["system"] == "AXE"]
    of_axe = [(line["set"], int(line["updates"]), float(line["loss_bits"])) for line in lines]
    assert of_axe == [("training", 50, 2.5), ("training", 100, 1.5), ("validation", 100, 1.75)]
    drawing = Path("out.svg").read_text(encoding="utf-8")
    assert all(f"{system}, validation" in drawing for system in recipe.SYSTEMS.values())
    shown = capsys.readouterr().out
    [line] = [line.split() for line in shown.splitlines() if line.startswith("AXE ")]
    assert line == ["AXE", "100", "1.500", "1.750", "0.00", "100.0", "0.0", "100.0", "50.0"]


def test_what_is_done_is_not_done_again(steps: Steps) -> None:
    recipe.main([*WORDS, "--no-plot", "--methods", "at_axe,at_ce"])
    steps.commands.clear()
    recipe.main([*WORDS, "--no-plot", "--methods", "at_axe,at_ce"])
    assert steps.scripts == ["train.py", "train.py"]
    assert not Path("out.svg").exists()


def test_a_failed_step_ends_it(steps: Steps) -> None:
    steps.failing = "method=at_axe"
    with pytest.raises(UserError, match=r"scripts/train\.py failed"):
        recipe.main(WORDS)
    assert not Path("out.json").exists()


def test_refuses_in_one_sentence() -> None:
    with pytest.raises(UserError, match="--methods names 'teacher': choose some of at_ce"):
        recipe.main(["--methods", "at_ce,teacher"])
    with pytest.raises(UserError, match=r"--output out\.txt must end in \.json"):
        recipe.main(["--output", "out.txt"])
    with pytest.raises(UserError, match="--threads must be at least 1, not 0"):
        recipe.main(["--threads", "0"])
