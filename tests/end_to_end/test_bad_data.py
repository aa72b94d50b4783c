"""Text and data that cannot be used: one sentence each, and nothing lost."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.commands import run
from tests.end_to_end.conftest import Corpus, Model
from tests.end_to_end.corpus import SOURCE, TARGET, TEST_COUNTS, write_corpus, write_pair
from tests.end_to_end.settings import generate, hypotheses, interactive, train

pytestmark = pytest.mark.end_to_end

Binarise = Callable[..., Path]


@pytest.fixture
def binarise(made: Corpus, tmp_path: Path) -> Binarise:
    """Binarise a few lines with the corpus's dictionary; returns the data folder."""

    def make(split: str, source: list[str], target: list[str]) -> Path:
        prefix = write_pair(tmp_path / "text" / split, source, target)
        run(
            "fairseq-preprocess",
            *("--task", "nat_translation", "--source-lang", SOURCE, "--target-lang", TARGET, "--workers", 1),
            *("--joined-dictionary", "--srcdict", made.data / f"dict.{SOURCE}.txt"),
            *(f"--{split}pref", prefix, "--destdir", tmp_path / "data"),
        ).checked()
        return tmp_path / "data"

    return make


@pytest.fixture
def copied(made: Corpus, tmp_path: Path) -> Path:
    """The corpus's data, to be spoilt."""
    return Path(shutil.copytree(made.data, tmp_path / "copied"))


def test_data_without_our_symbols_work(made: Corpus, model: Model, tmp_path: Path) -> None:
    """fairseq-preprocess alone made them: the symbols are added when the dictionary is loaded."""
    ours, theirs = ((folder / f"dict.{SOURCE}.txt").read_text(encoding="utf-8") for folder in (made.data, made.plain))
    assert "<mask>" in ours
    assert "<mask>" not in theirs
    train(made.plain, tmp_path, "--max-update", 3).checked()
    output = generate(made.plain, tmp_path / "checkpoint_last.pt").checked().output
    assert len(hypotheses(output)) == TEST_COUNTS[0]


def test_a_word_that_is_not_in_the_dictionary_is_unknown(made: Corpus, model: Model) -> None:
    output = interactive(made.data, model.checkpoint, "s1 Σίσυφος s2\ns1\n".encode()).checked().output
    assert hypotheses(output, "S")[0] == ["s1 <unk> s2"]
    assert sorted(hypotheses(output)) == [0, 1]


def test_an_empty_line_is_refused_by_its_number(made: Corpus, model: Model, binarise: Binarise) -> None:
    message = interactive(made.data, model.checkpoint, b"s1\ns2 s4\n \ns5\n").refusal()
    assert "input sentence, number 3, has no tokens" in message
    message = generate(binarise("test", ["s1", "", "s2"], ["t1", "t1", "t2"]), model.checkpoint).refusal()
    assert "source sentence of split 'test', number 2, has no tokens" in message


@pytest.mark.parametrize("side", ["source", "target"])
def test_an_empty_line_to_train_on_is_refused(binarise: Binarise, tmp_path: Path, side: str) -> None:
    lines = {"source": ["s1", "s2"], "target": ["t1", "t2"]}
    lines[side][1] = ""
    message = train(binarise("train", lines["source"], lines["target"]), tmp_path, "--max-update", 1).refusal()
    assert f"{side} sentence of split 'train', number 2, has no tokens" in message


def test_a_line_of_2000_tokens_is_counted_in_training(binarise: Binarise, tmp_path: Path) -> None:
    data = binarise("train", ["s1 s2"] * 20 + ["s1 " * 2000], ["t1 t2"] * 20 + ["t2"])
    output = train(data, tmp_path / "run", "--max-epoch", 1).checked().output
    assert "1 of 21 sentences are too long and are left out: number 21 has 2001 source and 2 target tokens" in output
    assert re.search(r"\| train \| epoch 001 .*\| bsz 20 \|", output)


def test_a_line_of_2000_tokens_is_refused_in_translation(made: Corpus, model: Model, binarise: Binarise) -> None:
    data = binarise("test", ["s1", "s1 " * 2000], ["t1", "t2"])
    message = generate(data, model.checkpoint).refusal()
    assert "1 of 2 sentences are too long (number 2 has 2001 source" in message
    assert "--skip-invalid-size-inputs-valid-test" in message
    output = generate(data, model.checkpoint, "--skip-invalid-size-inputs-valid-test").checked().output
    assert list(hypotheses(output)) == [0]
    assert "1 of 2 sentences are too long and are left out" in output
    message = interactive(made.data, model.checkpoint, b"s1\ns2\n" + b"s1 " * 2000).refusal()
    assert "number 3 has 2001 source" in message
    lines = b"s1\n" + b"s1 " * 2000 + b"\ns2\n"
    output = interactive(made.data, model.checkpoint, lines, "--skip-invalid-size-inputs-valid-test").checked().output
    assert list(hypotheses(output)) == [0, 2]
    assert "1 of 1 sentences are too long and are left out: number 2 has 2001 source" in output


def test_a_sentence_beyond_max_tokens_is_refused(made: Corpus, model: Model) -> None:
    assert "raise --max-tokens" in generate(made.data, model.checkpoint, "--max-tokens", 5).refusal()


@pytest.mark.parametrize("from_file", [False, True])
def test_invalid_utf8_is_refused_by_its_line(made: Corpus, model: Model, tmp_path: Path, from_file: bool) -> None:
    text = b"s1 s2\ns1 \xff\xfe s2\n"
    path = tmp_path / "text"
    path.write_bytes(text)
    flags = ["--input", path] if from_file else []
    message = interactive(made.data, model.checkpoint, b"" if from_file else text, *flags).refusal()
    assert f"line 2 of {path if from_file else 'standard input'} is not valid UTF-8 (byte 4: 0xff)" in message


def test_invalid_utf8_to_binarise_is_refused(made: Corpus, tmp_path: Path) -> None:
    for language in (SOURCE, TARGET):
        (tmp_path / f"train.{language}").write_bytes(b"s1 s2\n" * 5 + b"\xff\xfe\n")
    message = run(
        "fairseq-preprocess",
        *("--task", "nat_translation", "--source-lang", SOURCE, "--target-lang", TARGET, "--joined-dictionary"),
        *("--trainpref", tmp_path / "train", "--destdir", tmp_path / "data", "--workers", 1),
    ).refusal()
    assert "not valid UTF-8" in message


def test_a_missing_file_is_named(made: Corpus, model: Model, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    assert str(missing) in interactive(made.data, model.checkpoint, b"", "--input", missing).refusal()
    assert f"no dictionary {missing}" in generate(missing, model.checkpoint).refusal()
    message = generate(made.data, model.checkpoint, "--gen-subset", "test9").refusal()
    assert f"no binarised split 'test9' for {SOURCE}-{TARGET} in {made.data}" in message


def test_wrong_languages_are_refused(made: Corpus, model: Model) -> None:
    assert "dict.zz.txt" in generate(made.data, model.checkpoint, "--source-lang", "zz").refusal()
    swapped = ["--source-lang", TARGET, "--target-lang", SOURCE]
    message = generate(made.data, model.checkpoint, *swapped).refusal()
    assert f"translates {SOURCE} to {TARGET}, not {TARGET} to {SOURCE}" in message


def test_a_smaller_dictionary_is_refused(copied: Path, model: Model, tmp_path: Path) -> None:
    for language in (SOURCE, TARGET):
        path = copied / f"dict.{language}.txt"
        path.write_text("".join(path.read_text(encoding="utf-8").splitlines(True)[:16]), encoding="utf-8")
    message = generate(copied, model.checkpoint).refusal()
    assert f"trained with another source and another target dictionary than that of {copied}" in message
    message = train(copied, tmp_path, "--max-update", 1).refusal()
    assert "the dictionary has only" in message


def test_a_dictionary_in_another_order_is_refused(copied: Path, model: Model) -> None:
    """It is of the same size, and the translations would be noise."""
    path = copied / f"dict.{TARGET}.txt"
    first, second, *others = path.read_text(encoding="utf-8").splitlines(True)
    path.write_text("".join([second, first, *others]), encoding="utf-8")
    assert "trained with another target dictionary" in generate(copied, model.checkpoint).refusal()


def test_sides_of_unequal_length_are_refused(binarise: Binarise, tmp_path: Path) -> None:
    message = train(binarise("train", ["s1", "s2"], ["t1"]), tmp_path, "--max-update", 1).refusal()
    assert "unequal length" in message
    assert f"split 'train' for {SOURCE}-{TARGET}" in message


def test_a_truncated_text_is_refused(copied: Path, model: Model) -> None:
    path = copied / f"test.{SOURCE}-{TARGET}.{SOURCE}.bin"
    path.write_bytes(path.read_bytes()[:100])
    assert "is truncated (100 of" in generate(copied, model.checkpoint).refusal()


def test_a_dictionary_that_is_none_is_refused(copied: Path, model: Model) -> None:
    (copied / f"dict.{SOURCE}.txt").write_bytes(b"s1 3\n\xff 2\n")
    assert f"dict.{SOURCE}.txt is not a fairseq dictionary" in generate(copied, model.checkpoint).refusal()


def test_binarising_twice_is_refused(made: Corpus, copied: Path, tmp_path: Path) -> None:
    arguments = [*write_corpus(tmp_path / "text"), "--joined-dictionary", "--task", "nat_translation"]
    message = run("fairseq-preprocess", *arguments, "--destdir", copied).refusal()
    assert f"{copied / f'dict.{SOURCE}.txt'} exists already" in message
