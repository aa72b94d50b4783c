"""What a run is decoded with: its configuration, what it was tuned to, or what one search found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from nat_plugin.errors import UserError
from scripts.lib.trained_model import TrainedModel


def test_data_are_found_above_the_run_from_wherever_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {
        "data": {"path": "data-bin/toy", "source_lang": "aa", "target_lang": "bb"},
        "method": {"name": "cmlm_axe", "kind": "non_autoregressive"},
    }
    run, data, elsewhere = tmp_path / "runs" / "toy" / "axe", tmp_path / "data-bin" / "toy", tmp_path / "elsewhere"
    for folder in (run, data, elsewhere):
        folder.mkdir(parents=True)
    (run / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(config)))
    for folder, expected in ((tmp_path, Path("data-bin/toy")), (elsewhere, data)):
        monkeypatch.chdir(folder)
        assert TrainedModel.load(run).data == expected
    data.rmdir()
    assert TrainedModel.load(run).data == Path("data-bin/toy")
    with pytest.raises(UserError, match=r"nothing is no run directory: there is no such folder"):
        TrainedModel.load(run.with_name("nothing"))


def test_a_searchs_winner_in_place_of_what_is_stored(tmp_path: Path) -> None:
    config = {
        "data": {"path": "data", "source_lang": "aa", "target_lang": "bb"},
        "method": {"name": "cmlm_axe", "kind": "non_autoregressive"},
        "generate": {"length_candidates": 5, "length_multiplier": 1.0},
    }
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(config)))
    (tmp_path / "tuned.json").write_text(json.dumps({"ctc_beam": 20}))
    found = tmp_path / "tune_length_multiplier.json"
    found.write_text(json.dumps({"winner": {"length_multiplier": 1.05}, "curve": []}))
    stored = TrainedModel.load(tmp_path).decoding
    assert stored == {"length_candidates": 5, "length_multiplier": 1.0, "ctc_beam": 20}
    assert TrainedModel.load(tmp_path, found).decoding == {"length_candidates": 5, "length_multiplier": 1.05}
    with pytest.raises(UserError, match=r"--tuned .*: there is no such file"):
        TrainedModel.load(tmp_path, tmp_path / "tune_other.json")
