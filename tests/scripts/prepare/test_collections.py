"""Recipes whose text comes from archives, on small archives in the published layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scripts.lib import recipes
from scripts.lib.corpora.model import Collection
from scripts.lib.downloads import Download
from scripts.lib.preparation.job import STAGES
from scripts.lib.preparation.sizes import compare
from scripts.prepare import main, print_summary
from tests.scripts.prepare import miniatures
from tests.scripts.prepare.toy import lines, small, until_binarising, use

COLLECTIONS = {name: recipe for name, recipe in recipes.RECIPES.items() if isinstance(recipe.corpus, Collection)}


class TestEveryCollection:
    @pytest.mark.parametrize("name", [name for name in COLLECTIONS if "multiref" not in name])
    def test_text_of_every_archive(self, name: str, archives: Any, tmp_path: Path) -> None:
        """What is published reaches the stages whole and in order, in both directions."""
        recipe = COLLECTIONS[name]
        folder, expected = archives[recipe.corpus.name]
        more = ["--filter-noise", "off"] if "filter_noise" in recipe.options else []
        output = until_binarising(small(name, folder, tmp_path / "toy", *more))
        every = recipe.corpus.held_out_every if isinstance(recipe.corpus, Collection) else 0
        for language in (recipe.source_lang, recipe.target_lang):
            train = expected["train"][language]
            valid = train[every - 1 :: every] if every else expected["valid"][language]
            if every:
                train = [line for number, line in enumerate(train, start=1) if number % every]
            for split, wanted in (("train", train), ("valid", valid), ("test", expected["test"][language])):
                assert lines(output / STAGES / f"text.{split}.{language}") == wanted
        assert not list((output / STAGES).glob("**/extracted"))

    @pytest.mark.parametrize("name", list(recipes.RECIPES))
    def test_dry_run_needs_nothing(
        self, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("scripts.lib.preparation.request.default_raw_folder", lambda corpus: tmp_path / "none")
        monkeypatch.setattr("urllib.request.urlopen", lambda *arguments: pytest.fail("the network was asked"))
        main([name, "--output", str(tmp_path / "toy"), "--dry-run"])
        printed = capsys.readouterr().out
        recipe = recipes.RECIPES[name]
        corpus = recipe.corpus
        files = corpus.needed() if isinstance(corpus, Collection) else corpus.files
        assert printed.count("fetch ") == len(files)
        for file, download in files.items():
            assert f"to {tmp_path / 'none' / file} (" in printed
            assert (download.checksum or "no published checksum") in printed
        texts = sum(len(texts) for texts in corpus.texts.values()) if isinstance(corpus, Collection) else 0
        texts += len(corpus.texts["train"]) if isinstance(corpus, Collection) and corpus.held_out_every else 0
        assert printed.count("\n    text: ") == texts
        assert printed.count("\nexpect ") == len(recipe.sizes)
        assert f"--source-lang {recipe.source_lang} --target-lang {recipe.target_lang}" in printed.splitlines()[-1]
        assert list(tmp_path.iterdir()) == [], "a dry run writes nothing"


class TestFormats:
    def test_a_memory_says_what_it_lacks(self, archives: Any, tmp_path: Path) -> None:
        output = until_binarising(small("wmt16_ro_en", archives["wmt16"][0], tmp_path / "toy"))
        result = json.loads((output / STAGES / "assemble-train.json").read_text())["result"]
        assert result["changed"] == {"left out: a translation unit without both languages": 1}
        assert list(result["texts"].values()) == [30, 20]
        assert result["read"] == 50

    def test_romanian_letters(self, archives: Any, tmp_path: Path) -> None:
        found = {}
        for kind in ("as-is", "comma", "plain"):
            output = until_binarising(small("wmt16_en_ro", archives["wmt16"][0], tmp_path / kind, "--romanian", kind))
            found[kind] = (output / "tok" / "train.ro").read_text()
            assert "ţară" in (output / "raw" / "train.ro").read_text()
        assert "ţară" in found["as-is"]
        assert "țară" in found["comma"]
        assert "câine" in found["comma"]
        assert "tara" in found["plain"]
        assert "caine" in found["plain"]

    def test_a_line_without_columns_is_counted(self, archives: Any, tmp_path: Path) -> None:
        output = until_binarising(small("wmt20_ja_en", archives["wmt20"][0], tmp_path / "toy", "--filter-noise", "off"))
        result = json.loads((output / STAGES / "assemble-train.json").read_text())["result"]
        assert result["changed"] == {"left out: a line with too few columns": 1}
        assert result["read"] == 105

    def test_chinese_words(self, archives: Any, tmp_path: Path) -> None:
        output = until_binarising(small("wmt17_zh_en", archives["wmt17"][0], tmp_path / "toy"))
        raw, tok = lines(output / "raw" / "test.zh"), lines(output / "tok" / "test.zh")
        assert [line.replace(" ", "") for line in tok] == raw
        assert any("经济" in line.split() for line in lines(output / "tok" / "train.zh"))
        assert (output / "codes.zh.bpe").is_file()

    def test_talks_are_lower_case_and_cased(self, archives: Any, tmp_path: Path) -> None:
        output = until_binarising(small("iwslt14_de_en", archives["iwslt14"][0], tmp_path / "toy"))
        assert any(line != line.lower() for line in lines(output / "raw" / "test.en"))
        assert all(line == line.lower() for line in lines(output / "tok" / "test.en"))

    def test_words_are_counted(self, archives: Any, tmp_path: Path) -> None:
        """A limit of words keeps what the same limit of subwords would leave out."""
        folder = archives["iwslt14"][0]
        words = until_binarising(small("iwslt14_de_en", folder, tmp_path / "words", "--max-tokens", "30"))
        kept = lines(words / "tok" / "train.en")
        assert max(len(line.split()) for line in lines(words / "bpe" / "train.en")) > 30
        given = small("iwslt14_de_en", folder, tmp_path / "subwords", "--max-tokens", "30", "--no-count-words")
        assert len(lines(until_binarising(given) / "tok" / "train.en")) < len(kept)


class TestFurtherReferences:
    @pytest.mark.usefixtures("without_fairseq")
    def test_ten_of_ott_et_al(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Through the whole script, with what it says about sizes."""
        folder, output = tmp_path / "raw", tmp_path / "toy"
        folder.mkdir()
        miniatures.wmt14(folder, 10)
        source, *targets = miniatures.wmt14_multiref(folder)
        main(small("wmt14_en_de_multiref", folder, output))
        printed = capsys.readouterr().out
        assert lines(output / "raw" / "test.en") == source
        names = ["test.de", *(f"test.de.{number}" for number in range(1, 11))]
        assert [lines(output / "raw" / name) for name in names] == targets
        assert f"note: {folder / 'test-full.tgz'}" not in printed, "its text is not asked for"
        assert f"note: {folder / 'wmt13-test.tgz'} is not the file that this recipe was made for" in printed
        assert (
            "train: 10 pairs of commoncrawl.de-en.en commoncrawl.de-en.de in training-parallel-commoncrawl" in printed
        )
        assert "note: test has 5 pairs left in the end, where 500 are stated (Ott et al. 2018).\n" in printed
        assert "note: train has 30 pairs left in the end, where 4,500,000 (± 2%) are stated (Ghazv" in printed
        record = json.loads((output / "prepare.json").read_text())
        assert [size["found"] for size in record["sizes"]] == [30, 7, 5]
        assert sum("wmt14-en-de.extra_refs.gz" in name for name in record["sha256"]) == 1
        assert len(record["sha256"]) == 5
        # The other test set on a copy of the folder: nothing but the test set is done again, and what follows from it.
        shutil.copytree(output, tmp_path / "plain")
        main([*small("wmt14_en_de", folder, tmp_path / "plain"), "--dry-run"])
        printed = capsys.readouterr().out
        assert printed.count("(done already)") == 7
        assert "in test-full.tgz (segments)\n" in printed

    def test_two_of_hassan_et_al(self, archives: Any, tmp_path: Path) -> None:
        folder = tmp_path / "raw"
        shutil.copytree(archives["wmt17"][0], folder)
        test = archives["wmt17"][1]["test"]
        further = miniatures.wmt17_multiref(folder, test)
        output = until_binarising(small("wmt17_zh_en_multiref", folder, tmp_path / "toy"))
        assert lines(output / "raw" / "test.en") == test["en"]
        assert [lines(output / "raw" / f"test.en.{number}") for number in (1, 2)] == further

    def test_references_of_another_length(
        self, archives: Any, tmp_path: Path, refused: Callable[[list[str]], str]
    ) -> None:
        folder = tmp_path / "raw"
        shutil.copytree(archives["wmt17"][0], folder)
        test = archives["wmt17"][1]["test"]
        miniatures.wmt17_multiref(folder, {name: column[:-1] for name, column in test.items()})
        miniatures.tgz(folder / "test-update-1.tgz", miniatures.news("newstest2017-{}", test, ("zh", "en")))
        sentence = refused(small("wmt17_zh_en_multiref", folder, tmp_path / "toy"))
        assert "Reference-HT.txt in Translator-HumanParityData.zip has 5 lines for the 6 test sentences" in sentence


class TestSpoiltArchives:
    @pytest.fixture
    def folder(self, archives: Any, tmp_path: Path) -> Path:
        folder = tmp_path / "raw"
        shutil.copytree(archives["wmt16"][0], folder)
        return folder

    def refuse(self, folder: Path, refused: Callable[[list[str]], str], *more: str) -> str:
        return refused(small("wmt16_en_ro", folder, folder.parent / "toy", *more))

    @pytest.mark.parametrize("name", ["training-parallel-ep-v8.tgz", "en-ro.tmx.gz", "test.tgz"])
    def test_cut_off(self, name: str, folder: Path, refused: Callable[[list[str]], str]) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
        sentence = self.refuse(folder, refused)
        assert f"{folder / name} is cut off" in sentence

    def test_no_archive_at_all(self, folder: Path, refused: Callable[[list[str]], str]) -> None:
        (folder / "dev.tgz").write_bytes(b"<html>404</html>")
        assert f"{folder / 'dev.tgz'} is cut off or damaged" in self.refuse(folder, refused)

    def test_another_archive(self, folder: Path, refused: Callable[[list[str]], str]) -> None:
        shutil.copy(folder / "dev.tgz", folder / "test.tgz")
        sentence = self.refuse(folder, refused)
        assert "test.tgz has no file test/newstest2016-enro-src.en.sgm (it holds README, dev/newsdev2016-" in sentence

    def test_sides_of_unequal_length(self, folder: Path, refused: Callable[[list[str]], str]) -> None:
        stem = "training-parallel-ep-v8/europarl-v8.ro-en"
        members = {f"{stem}.en": b"One.\nTwo.\n", f"{stem}.ro": b"Unu.\n"}
        miniatures.tgz(folder / "training-parallel-ep-v8.tgz", members)
        sentence = self.refuse(folder, refused)
        assert "has 2 lines but" in sentence

    def test_damaged_memory(self, folder: Path, refused: Callable[[list[str]], str]) -> None:
        (folder / "en-ro.tmx.gz").write_bytes(b"<tmx><body><tu>")
        assert "en-ro.tmx.gz is no whole translation memory" in self.refuse(folder, refused)

    def test_strict(self, folder: Path, refused: Callable[[list[str]], str]) -> None:
        sentence = self.refuse(folder, refused, "--strict")
        assert "training-parallel-ep-v8.tgz is not the file that this recipe was made for (225018324 bytes" in sentence

    def test_missing(self, folder: Path, refused: Callable[[list[str]], str]) -> None:
        (folder / "dev.tgz").unlink()
        assert f"--raw {folder} lacks dev.tgz" in self.refuse(folder, refused)


class TestSizes:
    def test_both_numbers_are_named(self) -> None:
        counts = {
            "train": {"kept": 3_961_179, "assembled": {"read": 4_508_785}},
            "valid": {"kept": 2999, "assembled": {"read": 3000}},
            "test": {"kept": 3003, "assembled": {"read": 3003}},
        }
        found = {name: compare(COLLECTIONS[name].sizes, counts) for name in ("wmt14_en_de", "wmt14_en_de_cleaned")}
        four, three = (sizes[0] for sizes in found.values())
        assert "train has 3,961,179 pairs left in the end" in four["off"]
        assert "where 4,500,000 (± 2%) are stated (Ghazvininejad et al. 2020" in four["off"]
        assert three["off"] is None, "Gu & Kong's 4.0M"
        assert found["wmt14_en_de"][1]["off"] == (
            "valid has 2,999 pairs left in the end, where 3,000 are stated (Hugging Face's card of wmt14 de-en)"
        )
        assert found["wmt14_en_de"][2]["off"] is None

    def test_strict_leaves_the_folder_unfinished(
        self,
        archives: Any,
        tmp_path: Path,
        refused: Callable[[list[str]], str],
        monkeypatch: pytest.MonkeyPatch,
        without_fairseq: None,
    ) -> None:
        """The archives are the recipe's, but not their number of sentences."""
        recipe = COLLECTIONS["wmt16_en_ro"]
        assert isinstance(recipe.corpus, Collection)
        anonymous = {name: Download(download.urls) for name, download in recipe.corpus.files.items()}
        use(monkeypatch, "wmt16_en_ro", replace(recipe, corpus=replace(recipe.corpus, files=anonymous)))
        sentence = refused(small("wmt16_en_ro", archives["wmt16"][0], tmp_path / "toy", "--strict"))
        assert "train has 50 pairs left in the end, where 610,000 (± 2%) are stated (Ghazvininejad" in sentence
        assert not (tmp_path / "toy" / "prepare.json").exists()


def test_the_summary_names_noise(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assembled = {
        "texts": {"a": 9},
        "read": 9,
        "for_another_split": 0,
        "noise": {"script": 2, "marks": 1},
        "changed": {},
    }
    side = {"tokens": {"ja": 9, "en": 9}, "types": {"ja": 3, "en": 3}, "unknown": {"ja": 0, "en": 0}}
    count = {"kept": 6, "dropped": {}, "first_dropped": {}, "changed": {}, "assembled": assembled, **side}
    record = {
        "source_lang": "ja",
        "target_lang": "en",
        "counts": {"train": count},
        "sizes": [],
        "dictionary": {"en": 9},
    }
    print_summary(record, tmp_path)
    assert "train: 3 of 9 pairs were noise (script 2, marks 1)" in capsys.readouterr().out
