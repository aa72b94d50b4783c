"""fairseq-hydra-train builds what fairseq-train builds, from a file instead of flags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from scripts.lib import fairseq_configs
from tests.end_to_end.commands import USER_DIR, Result, run
from tests.end_to_end.conftest import Corpus
from tests.end_to_end.corpus import SOURCE, TARGET, TEST_COUNTS
from tests.end_to_end.settings import SIZE, generate, hypotheses, train
from tests.scripts.tiny_training import assert_same_parameters

pytestmark = pytest.mark.end_to_end

TINY = {f"{side}_{key.replace('-', '_')}": value for side in ("encoder", "decoder") for key, value in SIZE.items()}
UPDATES = 3


def config(data: Path, save_dir: Path) -> dict[str, dict[str, Any]]:
    """What tests.end_to_end.settings.training says in flags."""
    return {
        "common": {"user_dir": str(USER_DIR), "cpu": True, "log_format": "simple"},
        "dataset": {"max_tokens": 400, "num_workers": 0, "disable_validation": True},
        "optimization": {"lr": [0.01], "max_update": UPDATES},
        "optimizer": {"_name": "adam"},
        "lr_scheduler": {"_name": "fixed"},
        "checkpoint": {"save_dir": str(save_dir), "no_epoch_checkpoints": True},
        "task": {
            "_name": "nat_translation",
            "data": str(data),
            "source_lang": SOURCE,
            "target_lang": TARGET,
            "max_source_positions": 64,
            "max_target_positions": 64,
        },
        "criterion": {"_name": "nat_axe", "skip_target_penalty": 2.0, "label_smoothing": 0.1},
        "model": {"_name": "cmlm_tiny", "init": "xavier", "dropout": 0.2, **TINY},
    }


def hydra_train(folder: Path, content: dict[str, dict[str, Any]], *overrides: str) -> Result:
    """Write the configuration and train with it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return run("fairseq-hydra-train", "--config-dir", folder, "--config-name", "tiny", *overrides)


def test_a_file_gives_the_model_of_the_flags(made: Corpus, tmp_path: Path) -> None:
    hydra_train(tmp_path / "config", config(made.data, tmp_path / "hydra")).checked()
    criterion = ["--criterion", "nat_axe", "--skip-target-penalty", 2, "--label-smoothing", 0.1]
    train(made.data, tmp_path / "flags", *criterion, "--dropout", 0.2, "--max-update", UPDATES).checked()
    assert_same_parameters(tmp_path / "hydra" / "checkpoint_last.pt", tmp_path / "flags" / "checkpoint_last.pt")
    output = generate(made.data, tmp_path / "hydra" / "checkpoint_last.pt", "--iterations", 4).checked().output
    assert sorted(hypotheses(output)) == list(range(TEST_COUNTS[0]))


# the last one of each criterion: all files are made alike
@pytest.mark.parametrize("name", {recipe.criterion: name for name, recipe in fairseq_configs.RECIPES.items()}.values())
def test_a_committed_file_is_whole_and_can_be_changed(made: Corpus, tmp_path: Path, name: str) -> None:
    """Every option is settable without Hydra's +, because it stands in the file."""
    values = config(made.data, tmp_path / "run")
    changes = {
        **{f"{group}.{key}": value for group in ("common", "checkpoint") for key, value in values[group].items()},
        **{f"dataset.{key}": value for key, value in values["dataset"].items()},
        **{f"task.{key}": value for key, value in values["task"].items() if key != "_name"},
        **{f"model.{key}": value for key, value in TINY.items()},
        "optimization.max_update": 1,
        "optimization.update_freq": "[1]",
    }
    overrides = [f"{key}={value}" for key, value in changes.items()]
    run("fairseq-hydra-train", "--config-dir", fairseq_configs.FOLDER, "--config-name", name, *overrides).checked()
    state = torch.load(tmp_path / "run" / "checkpoint_last.pt", weights_only=False)
    saved = state["cfg"]
    assert {key: saved["model"][key] for key in TINY} == TINY
    assert saved["model"]["positions"] == "sinusoidal"
    assert saved["criterion"]["_name"] == fairseq_configs.RECIPES[name].criterion
    assert state["model"]["decoder.embed_tokens.weight"].size(1) == SIZE["embed-dim"]


@pytest.mark.parametrize("name", list(fairseq_configs.RECIPES))
def test_committed_files_are_those_of_the_dataclasses(name: str) -> None:
    committed = (fairseq_configs.FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    assert committed == fairseq_configs.render(name), "write them again: python -m scripts.lib.fairseq_configs"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("+task.length_multiplier=0.0", "--length-multiplier must be above 0"),
        ("criterion.skip_target_penalty=-1.0", "--skip-target-penalty must be 0 or more"),
        ("common.fp16=true", "--fp16 needs a CUDA GPU"),
    ],
)
def test_mistakes_get_one_sentence_here_too(made: Corpus, tmp_path: Path, override: str, expected: str) -> None:
    content = config(made.data, tmp_path / "run")
    assert expected in hydra_train(tmp_path / "config", content, override).refusal()


def test_a_missing_group_is_named(made: Corpus, tmp_path: Path) -> None:
    content = config(made.data, tmp_path / "run")
    del content["lr_scheduler"]
    assert "the configuration has no lr_scheduler" in hydra_train(tmp_path / "config", content).refusal()
