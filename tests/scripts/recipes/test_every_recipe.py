"""All recipes together, from prepared text to their tables, with models that have learned nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts import reproduce
from scripts.lib.reproduce.catalogue import load_recipe, recipe_names
from scripts.lib.runs import Run
from tests.scripts import tiny_training

ALL = [name for name in recipe_names() if name != "results"]  # which is several of the others
RUNGS = ("", "_a", "_b")  # of the data and of both synthetic ones


@pytest.mark.slow
@pytest.mark.end_to_end
@pytest.mark.timeout(0)
def test_every_recipe_runs(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = tiny_training.shared_settings(max_update=90)  # so many that a teacher has learned to end a sentence
    # the rungs of a ladder are of different sizes
    small += [f"ladder_{size}{data}:fairseq.decoder_ffn_embed_dim={size}" for size in (32, 128) for data in RUNGS]
    reproduce.main([*ALL, "--data", str(tiny_data), "--runs", "runs", "--output", "tables", *small])
    for name in ALL:
        [path] = Path("tables").glob(f"*/{name}.json")
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        assert len(rows) == len(load_recipe(name).rows)


@pytest.mark.slow
@pytest.mark.end_to_end
@pytest.mark.timeout(0)
def test_what_scripts_train_begins_with_the_encoder_too(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = tiny_training.shared_settings(max_update=90)
    rows = "mple_table9,peers"
    words = ["results", "--rows", rows, "--data", str(tiny_data), "--runs", "runs", "--output", "tables", *small]
    reproduce.main([*words, "--encoder-from", "teacher"])
    for name in rows.split(","):
        begun = name != "peers"  # fairseq's cannot begin so
        path = Path("tables") / f"{tiny_data.name}_tiny{'_encoder' * begun}" / f"{name}.json"
        measured = json.loads(path.read_text(encoding="utf-8"))["rows"]
        assert [row["row"] for row in measured] == list(load_recipe(name).rows)
        for row in measured if begun else []:
            if "run" in row and "teacher" not in row["run"] and "oaxe" not in row["run"]:
                giver = Run(Path(row["run"])).read_config()["fairseq"]["load_encoder_from"]
                assert giver == f"runs/{tiny_data.name}/teacher_tiny"
                assert "_tiny_encoder" in row["run"]
