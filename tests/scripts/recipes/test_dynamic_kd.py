"""scripts/recipes/dynamic_kd.py with its steps replaced: teachers, single KDs, Dynamic KD and Table 9's decoding."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from nat_plugin.errors import UserError
from scripts.lib.config import compose_run
from scripts.recipes import dynamic_kd as recipe
from tests.scripts.recipes.pretended_steps import PretendedSteps

WORDS = ["--teachers", "tiny,small", "--output", "out.json", "--no-plot", "fairseq.max_update=100"]
WEIGHTS = ["--candidate-weights", "1,2,3"]


class Steps(PretendedSteps):
    """BLEU is 20, and 30 with three candidates."""

    def _train(self, run: Path) -> None:  # type: ignore[override]
        super()._train(run)
        config = compose_run(self.commands[-1][1:])
        (run / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(config)))
        line = '{"num_updates": 100, "loss": 1, "chosen_1": "0.5", "chosen_2": "0.25", "chosen_3": "0.25"}'
        (run / "train.log").write_text(f"x | INFO | train_inner | {line}\n")

    def written(self, script: str, words: Sequence[str]) -> list[tuple[Path, dict[str, Any]]]:
        if script == "distill.py":
            folder = Path(words[words.index("--output") + 1])
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "prepare.json").write_text('{"source_lang": "en", "target_lang": "de"}')
            for language in ("en", "de"):
                (folder / f"dict.{language}.txt").write_text("a 1\n")
        if script == "tune.py":
            (Path(words[0]) / "tuned.json").write_text("{}")
        if script != "evaluate.py":
            return []
        suffix = f"_{words[words.index('--suffix') + 1]}" if "--suffix" in words else ""
        row = dict.fromkeys(recipe._OF_TEST, 0.0) | {
            "system": "s", "bleu": 30.0 if "length_candidates=3" in words else 20.0, "signature": "sig"
        }  # fmt: skip
        return [(Path(words[0]) / "results" / f"test{suffix}.json", row)]


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    steps = Steps()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("scripts.lib.steps.start", steps)
    return steps


def test_teachers_then_single_targets_then_all_of_them(steps: Steps, capsys: pytest.CaptureFixture[str]) -> None:
    recipe.main(
        [*WORDS, "--teacher-words", "fairseq.lr=0.001", "--teacher-updates", "300,200", "--beam", "2", *WEIGHTS]
    )
    assert steps.scripts[:6] == ["train.py", "evaluate.py", "distill.py"] * 2
    assert [command[1:] for command in steps.commands if command[0] == "distill.py"] == [
        [f"runs/multi30k_en_de/teacher_{size}", "--output", f"data-bin/multi30k_en_de_kd_{size}", "--beam", "2"]
        for size in ("tiny", "small")
    ]
    trained = [compose_run(words) for script, *words in steps.commands if script == "train.py"]
    assert [config["fairseq"]["max_update"] for config in trained] == [300, 200] + [100] * 10
    assert [config["fairseq"]["lr"] for config in trained[:2]] == [0.001] * 2
    runs = [config["run"] for config in trained[2:]]
    assert len(set(runs)) == 10
    assert runs[:5] == [
        "runs/multi30k_en_de_kd_tiny/vanilla_tiny", "runs/multi30k_en_de_kd_small/vanilla_tiny",
        "runs/multi30k_en_de/vanilla_tiny_raw",
        "runs/multi30k_en_de/vanilla_dynamic_kd_tiny_without_regulariser",
        "runs/multi30k_en_de/vanilla_dynamic_kd_tiny",
    ]  # fmt: skip
    for config, factor in ((trained[5], 0), (trained[6], 0.2)):
        assert config["fairseq"]["candidate_bleu_factor"] == factor
        folders = config["fairseq"]["target_candidates"]
        assert folders == "data-bin/multi30k_en_de_kd_tiny:data-bin/multi30k_en_de_kd_small"
        assert config["data"]["candidate_weights"] == [1.0, 2.0, 3.0]

    rows = json.loads(Path("out.json").read_text(encoding="utf-8"))
    assert len(rows) == 2 + 2 * (3 + 1 + 5)
    best = [row for row in rows if row.get("tricks") == "tuned"]
    assert [row["system"] for row in best] == [
        f"{model} + Dynamic KD, LPD=3, de-duplication, λ" for model in ("Vanilla", "GLAT")
    ]
    assert all(row["bleu"] == 30 and row["chosen"] == {"tiny": 0.5, "small": 0.25, "raw": 0.25} for row in best)
    assert steps.scripts.count("tune.py") == 2
    table = Path("out.tsv").read_text(encoding="utf-8").splitlines()
    assert table[0] == "model\ttargets\tbleu"
    assert len(table) == 11
    assert "GLAT + KD (small)" in capsys.readouterr().out


def test_what_is_there_is_not_translated_or_tuned_again(steps: Steps) -> None:
    recipe.main([*WORDS, "--models", "vanilla_glat"])
    steps.commands.clear()
    recipe.main([*WORDS, "--models", "vanilla_glat"])
    assert set(steps.scripts) == {"train.py", "distill.py"}  # these find out themselves that nothing is to be done


def test_figure_8(steps: Steps) -> None:
    recipe.main([*(word for word in WORDS if word != "--no-plot"), "--models", "vanilla_glat"])
    picture = Path("out.svg").read_text(encoding="utf-8")
    assert all(text in picture for text in ("tiny", "small", "raw", "GLAT + Dynamic KD"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--teachers", "tiny,huge"], "--teachers names 'huge': give names of files in configs/size"),
        (["--models", "cmlm"], "--models names 'cmlm': choose some of vanilla, vanilla_glat"),
        (["--candidate-weights", "1,2"], "2 numbers for 2 teachers and the raw data"),
        (["--candidate-weights", "1,2,x"], "--candidate-weights 1,2,x are no numbers"),
        (["--teacher-updates", "1,2,3"], "one number above 0, or one for each of"),
        (["--teacher-updates", "0"], "one number above 0"),
        (["--beam", "0"], "--beam must be at least 1"),
    ],
)
def test_refuses_in_one_sentence(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        recipe.main([*WORDS, *words])
