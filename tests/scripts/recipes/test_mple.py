"""scripts/recipes/mple.py with its steps replaced: the systems of Tables 2 and 3 of Huang et al. 2022."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nat_plugin.errors import UserError
from scripts.lib.config import compose_run
from scripts.recipes import mple as recipe
from scripts.recipes import oaxe
from tests.scripts.recipes.pretended_steps import PretendedSteps

WORDS = ["--teacher", "teacher", "--output", "out.json", "--updates", "60"]
KD = "runs/multi30k_en_de_kd"


class Steps(PretendedSteps):
    """Table 2's trainings are another recipe's; measures are noted, not made."""

    def written(self, script: str, words: Sequence[str]) -> list[tuple[Path, dict[str, Any]]]:
        return [(Path("teacher/results/test.json"), {"system": "t"})] if script == "evaluate.py" else []


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    steps = Steps()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("scripts.lib.steps.start", steps)
    checkpoint = Path("teacher/checkpoints/averaged.pt")
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("")
    return steps


def flag(command: Sequence[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_both_tables_are_trained_and_measured(steps: Steps, capsys: pytest.CaptureFixture[str]) -> None:
    recipe.main([*WORDS, "--beta", "0.25", "fairseq.lr=0.001"])
    assert steps.scripts == [
        "evaluate.py", "recipes/oaxe.py", "total_correlation.py", "measure_mple.py",
        *["train.py"] * 7, "measure_mple.py",
    ]  # fmt: skip
    trained = [compose_run(words) for script, *words in steps.commands if script == "train.py"]
    assert [config["method"]["name"] for config in trained] == list(recipe.PROXY_INPUTS)
    assert all(config["fairseq"]["max_update"] == 60 and config["fairseq"]["lr"] == 0.001 for config in trained)

    targets, inputs = [command for command in steps.commands if command[0] == "measure_mple.py"]
    systems = ["vanilla", *(f"vanilla_axe_delta{delta}" for delta in (1, 5, 10))]
    systems += [f"vanilla_oaxe_{part}" for part in ("10k", "50k", "300k")]
    assert targets[1:9] == ["runs/multi30k_en_de/vanilla_tiny", *(f"{KD}/{name}_tiny" for name in systems)]
    assert inputs[1:8] == [f"{KD}/{method}_tiny" for method in recipe.PROXY_INPUTS]
    for command, table in ((targets, "targets"), (inputs, "inputs")):
        assert flag(command, "--vanilla") == f"{KD}/vanilla_tiny"
        assert flag(command, "--distilled") == "teacher/results/test.hyp.txt"
        assert flag(command, "--output") == f"out.{table}.json"
        assert flag(command, "--beta") == "0.25"
    assert (
        flag(targets, "--total-correlation") == "runs/multi30k_en_de/vanilla_tiny/results/total_correlation_test.json"
    )
    assert steps.commands[2][1:3] == ["teacher", "runs/multi30k_en_de/vanilla_tiny"]
    assert "out.inputs.json" in capsys.readouterr().out


def test_what_the_other_recipe_is_told_is_what_it_takes(steps: Steps) -> None:
    words = ["--raw", "generated", "--data", "generated_kd", "--size", "demo", "--budget", "demo", "--threads", "2"]
    recipe.main([*WORDS, *words, "--fine-tuning-lr", "1e-4", "--tables", "targets", "fairseq.dropout=0"])
    [told] = [words for script, *words in steps.commands if script == "recipes/oaxe.py"]
    options = oaxe.parse_arguments(told)
    assert (options.data, options.raw, options.size, options.updates) == ("generated_kd", "generated", "demo", 60)
    assert (options.fine_tuning_lr, options.threads, options.settings) == (1e-4, 2, ["fairseq.dropout=0"])
    assert options.rows == list(oaxe.SYSTEMS)
    assert str(options.output) == "out.oaxe.json"


def test_the_teachers_translation_is_made_once(steps: Steps) -> None:
    for _ in range(2):
        recipe.main([*WORDS, "--tables", "inputs"])
    assert steps.scripts.count("evaluate.py") == 1
    assert json.loads(Path("teacher/results/test.json").read_text(encoding="utf-8")) == [{"system": "t"}]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tables", "inputs,4"], "--tables names '4': choose some of targets, inputs"),
        (["method=nat"], "method=nat is worked out by this recipe: use --tables"),
        (["--updates", "7"], "--updates must be at least 30"),
        (["--output", "out.txt"], "must end in"),
    ],
)
def test_refuses_in_one_sentence(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        recipe.main([*WORDS, *words])
