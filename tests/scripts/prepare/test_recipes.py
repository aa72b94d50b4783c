"""Named data sets of scripts/prepare.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.lib.recipes import RECIPES, ROOT, default_raw_folder
from scripts.lib.subwords import undo_subwords
from scripts.lib.text import Detokenizer
from scripts.prepare import main
from tests.scripts.prepare.toy import (
    arguments,
    lines,
    sentences,
    until_binarising,
    write,
)

MULTI30K = default_raw_folder(RECIPES["multi30k_en_de"].corpus)


class TestRecipes:
    def test_dry_run_lists_what_would_be_fetched(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("scripts.lib.preparation.request.default_raw_folder", lambda corpus: tmp_path / "none")
        main(["multi30k_en_de", "--output", str(tmp_path / "toy"), "--dry-run"])
        steps = capsys.readouterr().out.splitlines()
        assert sum(step.startswith("fetch https://") for step in steps) == 6
        assert any("test_2016_flickr.de.gz" in step for step in steps)
        assert any("6000 merges" in step for step in steps)
        assert list(tmp_path.iterdir()) == [], "a dry run writes nothing"

    def test_published_names_are_found(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for split in ("train", "val", "test_2016_flickr"):
            for language in ("en", "de"):
                write(tmp_path / f"{split}.{language}", sentences(language, 5, 1))
        main(["multi30k_de_en", "--raw", str(tmp_path), "--output", str(tmp_path / "toy"), "--dry-run"])
        assert str(tmp_path / "test_2016_flickr.de") in capsys.readouterr().out

    @pytest.mark.parametrize("name", list(RECIPES))
    def test_configuration_of_the_same_name(self, name: str) -> None:
        """``scripts/train.py data=NAME`` has to find what ``scripts/prepare.py NAME`` writes."""
        yaml = pytest.importorskip("yaml")
        path = ROOT / "configs" / "data" / f"{name}.yaml"
        data = yaml.safe_load(path.read_text())["data"]
        recipe = RECIPES[name]
        assert (data["source_lang"], data["target_lang"]) == (recipe.source_lang, recipe.target_lang)
        assert data["path"] == f"data-bin/{name}"

    @pytest.mark.skipif(not MULTI30K.is_dir(), reason="Multi30k is not beside the repository")
    def test_way_back_on_multi30k(self, tmp_path: Path) -> None:
        """raw → normalised → tokens → BPE → tokens → raw, on real sentences."""
        splits = {"train": "valid", "valid": "valid", "test": "test"}
        files = {ours: [MULTI30K / f"{split}.{side}.gz" for side in ("en", "de")] for ours, split in splits.items()}
        output = until_binarising(arguments(files, tmp_path / "toy", "--subword", "bpe", "--bpe-merges", "500"))
        for language in ("en", "de"):
            tokens = lines(output / "tok" / f"test.{language}")
            assert list(undo_subwords(lines(output / "bpe" / f"test.{language}"), "bpe")) == tokens
            raw = lines(output / "raw" / f"test.{language}")
            assert len(raw) == 1000
            back = list(map(Detokenizer(language, "moses"), tokens))
            # A few quotes and apostrophes have no spacing that could be known from the tokens.
            assert sum(one == other for one, other in zip(raw, back, strict=True)) >= 990
