"""What scripts/prepare.py refuses, in one sentence each."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nat_plugin.errors import UserError
from scripts.lib.binarise import read_binarised
from scripts.lib.preparation.job import STAGES
from scripts.lib.stages import exclusive
from tests.scripts.prepare.toy import (
    SCRIPT,
    arguments,
    lines,
    write,
)


class TestRefusals:
    """Every sentence names the file, line or flag at fault, and nothing is left that looks finished."""

    def test_through_the_real_command(self, corpus: dict[str, list[Path]], tmp_path: Path) -> None:
        write(corpus["test"][1], lines(corpus["test"][1])[:-1])
        given = [sys.executable, str(SCRIPT), *arguments(corpus, tmp_path / "toy")]
        finished = subprocess.run(given, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert finished.returncode == 2
        assert f"{corpus['test'][0]} has 9 lines but {corpus['test'][1]} has 8" in finished.stderr
        assert "Traceback" not in finished.stderr
        assert not (tmp_path / "toy" / "prepare.json").exists()

    def test_empty_test_line(
        self, corpus: dict[str, list[Path]], tmp_path: Path, refused: Callable[[list[str]], str]
    ) -> None:
        write(corpus["test"][1], ["Ja.", "", *["Nein."] * 7])
        assert f"{corpus['test'][1]}:2 is empty" in refused(arguments(corpus, tmp_path / "toy"))

    def test_test_line_of_2000_tokens(
        self, corpus: dict[str, list[Path]], tmp_path: Path, refused: Callable[[list[str]], str]
    ) -> None:
        write(corpus["test"][0], ["Yes."] * 3 + ["no " * 2000] + ["Yes."] * 5)
        sentence = refused(arguments(corpus, tmp_path / "toy", "--subword", "none"))
        assert f"{corpus['test'][0]}:4 has 2000 tokens, more than 1000" in sentence
        assert "--max-test-tokens" in sentence

    def test_invalid_utf8(
        self, corpus: dict[str, list[Path]], tmp_path: Path, refused: Callable[[list[str]], str]
    ) -> None:
        corpus["train"][1].write_bytes("".join(f"Zeile {number}\n" for number in range(39)).encode() + b"Stra\xdfe\n")
        assert f"{corpus['train'][1]}:40 is not UTF-8 (byte 5 " in refused(arguments(corpus, tmp_path / "toy"))

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda path: path.unlink(), "there is no file {}"),
            (lambda path: path.write_bytes(b""), "has 40 lines but {} has 0"),
            (lambda path: path.write_bytes(gzip.compress(path.read_bytes())[:-20]), "{} is cut off"),
            (lambda path: path.write_bytes(b"\x1f\x8bnothing that gzip knows"), "{} is damaged"),
            (lambda path: (path.unlink(), path.mkdir()), "{} is a folder"),
        ],
        ids=["missing", "empty", "cut off", "damaged", "folder"],
    )
    def test_spoilt_file(
        self,
        spoil: Callable[[Path], Any],
        message: str,
        corpus: dict[str, list[Path]],
        tmp_path: Path,
        refused: Callable[[list[str]], str],
    ) -> None:
        spoil(corpus["train"][1])
        assert message.format(corpus["train"][1]) in refused(arguments(corpus, tmp_path / "toy"))

    def test_no_text_at_all(
        self, corpus: dict[str, list[Path]], tmp_path: Path, refused: Callable[[list[str]], str]
    ) -> None:
        for path in corpus["train"]:
            path.write_bytes(b"")
        assert f"{corpus['train'][0]} has no lines" in refused(arguments(corpus, tmp_path / "toy"))

    def test_nothing_left_after_cleaning(
        self, corpus: dict[str, list[Path]], tmp_path: Path, refused: Callable[[list[str]], str]
    ) -> None:
        sentence = refused(arguments(corpus, tmp_path / "toy", "--max-tokens", "1"))
        assert "no pair of train is left (too long: 40)" in sentence

    def test_references_of_another_length(
        self, corpus: dict[str, list[Path]], tmp_path: Path, refused: Callable[[list[str]], str]
    ) -> None:
        reference = write(tmp_path / "reference", ["Ja."])
        sentence = refused(arguments(corpus, tmp_path / "toy", "--test-references", str(reference)))
        assert f"has 9 lines but {reference} has 1" in sentence

    def test_vocabulary_too_large(
        self, corpus: dict[str, list[Path]], tmp_path: Path, refused: Callable[[list[str]], str]
    ) -> None:
        sentence = refused(arguments(corpus, tmp_path / "toy", "--subword", "sentencepiece", "--vocab-size", "9000"))
        assert "--vocab-size 9000" in sentence

    def test_nothing_to_merge(
        self, corpus: dict[str, list[Path]], tmp_path: Path, refused: Callable[[list[str]], str]
    ) -> None:
        assert "--subword none" in refused(arguments(corpus, tmp_path / "toy", "--tokenizer", "char"))

    def test_two_at_a_time(
        self, corpus: dict[str, list[Path]], tmp_path: Path, refused: Callable[[list[str]], str]
    ) -> None:
        output = tmp_path / "toy"
        with exclusive(output / STAGES / "lock"):
            sentence = refused(arguments(corpus, output))
        assert f"another process (process {os.getpid()}) is writing {output}" in sentence

    def test_folder_with_other_files(
        self, corpus: dict[str, list[Path]], tmp_path: Path, refused: Callable[[list[str]], str]
    ) -> None:
        assert "holds other files" in refused(arguments(corpus, corpus["train"][0].parent))
        assert "is a file" in refused(arguments(corpus, corpus["train"][0]))

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (["nonsense"], "there is no recipe 'nonsense'"),
            ([], "--name is missing"),
            (["multi30k_en_de", "--name", "x"], "--name does not go with the recipe"),
            (["multi30k_en_de", "--raw", "."], "--raw . lacks train.en.gz"),
            (["multi30k_en_de", "--subword", "none", "--bpe-merges", "9"], "--bpe-merges belongs to --subword bpe"),
            (["small_parallel_enja", "--tokenizer", "ja=kytea"], "there is no 'kytea'"),
            (["small_parallel_enja", "--tokenizer", "de=char"], "'de' is neither of the languages en and ja"),
            (["--name", "../x"], "--source-lang is missing"),
        ],
    )
    def test_arguments(
        self,
        given: list[str],
        message: str,
        refused: Callable[[list[str]], str],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("scripts.lib.preparation.request.sha256", lambda path: "")
        assert message in refused([*given, "--dry-run"])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (["--name", "../x"], "--name ../x becomes a folder's name"),
            (["--source-lang", "en-gb"], "--source-lang en-gb becomes part of files' names"),
            (["--source-lang", "de"], "are the same"),
            (["--source-lang", "zh"], "'zh' is written without spaces"),
            (["--raw", "."], "--raw is the folder of a recipe's files"),
            (["--subword", "sentencepiece", "--tokenizer", "char"], "nothing to split"),
        ],
    )
    def test_arguments_about_own_files(
        self,
        change: list[str],
        message: str,
        corpus: dict[str, list[Path]],
        tmp_path: Path,
        refused: Callable[[list[str]], str],
    ) -> None:
        assert message in refused(arguments(corpus, tmp_path / "toy", *change))


def test_unreadable_binarised_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.en-de.en.idx").write_bytes(b"MMIDIDX\x00\x00 cut")
    with pytest.raises(UserError, match="is not whole"):
        read_binarised(tmp_path / "train.en-de.en")
