"""scripts/recipes/jm_nat.py with its steps replaced: which commands, what is kept, and what is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nat_plugin.errors import UserError
from scripts.lib.config import compose_run
from scripts.recipes import jm_nat as recipe
from tests.scripts.recipes.pretended_steps import PretendedSteps
from tests.scripts.test_jm_nat import TABLE_4

WORDS = ["--data", "generated_kd", "--size", "demo", "--budget", "demo", "--output", "out.json"]


class Steps(PretendedSteps):
    """BLEU is the number of iterations, half a point more for a CMLM."""

    def written(self, script: str, words: Sequence[str]) -> list[tuple[Path, dict[str, Any]]]:
        if script == "analyse_noise.py":
            return []
        run, iterations = Path(words[0]), int(words[words.index("--suffix") + 1])
        row = {
            "system": run.name, "split": "test", "bleu": iterations + 0.5 * run.name.startswith("cmlm"),
            "repetitions_per_sentence": 1 / iterations, "signature": f"{run.name} {words[2:4]}",
        }  # fmt: skip
        return [(run / "results" / f"test_{iterations}.json", row)]


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    steps = Steps()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("scripts.lib.steps.start", steps)
    return steps


def test_all_systems_alike_at_1_4_and_10_iterations(steps: Steps, capsys: pytest.CaptureFixture[str]) -> None:
    recipe.main([*WORDS, "fairseq.max_update=100"])
    assert steps.scripts == ["train.py", *["evaluate.py"] * 3] * 6 + ["analyse_noise.py"]
    trainings = [compose_run(words) for script, *words in steps.commands if script == "train.py"]
    assert len({config["run"] for config in trainings}) == 6
    assert all(config["fairseq"]["max_update"] == 100 for config in trainings)
    translations = [command for command in steps.commands if command[0] == "evaluate.py"]
    decoding = {"length_candidates=3", "stop_when_unchanged=false"}
    assert all(decoding < set(command) for command in translations)
    assert [command[3] for command in translations] == [f"iterations={number}" for number in (1, 4, 10)] * 6
    noise = steps.commands[-1]
    assert noise[1:3] == ["runs/generated_kd/cmlm_ce_demo", "runs/generated_kd/jm_nat_demo"]
    assert {"iterations=10", *decoding, "drop_or_replace", "out.noise.json"} < set(noise)

    rows = json.loads(Path("out.json").read_text(encoding="utf-8"))
    assert [row["system"] for row in rows[:4]] == [
        "CMLM, 1 iteration", "CMLM, 4 iterations", "CMLM, 10 iterations", "JM-NAT, 1 iteration",
    ]  # fmt: skip
    assert [row["bleu"] for row in rows] == [1.5, 4.5, 10.5, *[1, 4, 10] * 5]
    assert all((row["updates"], row["best_validation_loss"]) == (100, 1.75) for row in rows)
    shown = capsys.readouterr().out
    assert all(f"{system.title}, 10 iterations" in shown for system in recipe.SYSTEMS.values())


def test_an_ablation_is_jm_nat_with_one_setting_of_the_papers_table() -> None:
    options = recipe.parse_arguments(WORDS)
    whole = compose_run(recipe.words_of("jm_nat", options))
    left_out = [system.setting for system in recipe.SYSTEMS.values() if system.setting]
    assert sorted(left_out) == sorted(TABLE_4.values())
    for name, system in recipe.SYSTEMS.items():
        if system.setting:
            config = compose_run(recipe.words_of(name, options))
            [changed] = [key for key, value in whole["fairseq"].items() if config["fairseq"][key] != value]
            assert system.setting.startswith(f"fairseq.{changed}=")
            assert config["run"] == f"{whole['run']}_{name}"


def test_what_is_done_is_not_done_again(steps: Steps) -> None:
    words = [*WORDS, "--no-plot", "--systems", "jm_nat,no_ngram_loss"]
    recipe.main([*words, "--no-noise"])
    steps.commands.clear()
    recipe.main(words)
    assert steps.scripts == ["train.py", "train.py", "analyse_noise.py"]
    assert "--no-plot" in steps.commands[-1]
    assert steps.commands[-1][1:3] == ["runs/generated_kd/jm_nat_demo", "--set"]


def test_refuses_in_one_sentence(steps: Steps) -> None:
    with pytest.raises(UserError, match="--systems names 'glat': choose some of cmlm, jm_nat"):
        recipe.main(["--systems", "cmlm,glat"])
    steps.failing = "method=cmlm_ce"
    with pytest.raises(UserError, match=r"scripts/train\.py failed"):
        recipe.main(WORDS)
    assert not Path("out.json").exists()


def test_four_lengths_on_iwslt() -> None:
    """Guo et al. 2020, §5.1.5."""
    options = recipe.parse_arguments(["--data", "data-bin/iwslt14_de_en_kd"])
    assert "length_candidates=4" in recipe.decoding(10, options)
