"""scripts/prepare.py on generated text: what it writes, what it refuses, and that it can be killed."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nat_plugin.errors import UserError
from scripts.lib.binarise import read_binarised
from scripts.lib.cli import run_main
from scripts.lib.preparation.job import STAGES
from scripts.lib.preparation.plan import plan, store
from scripts.lib.preparation.request import resolve
from scripts.lib.recipes import RECIPES, ROOT, default_raw_folder
from scripts.lib.stages import exclusive
from scripts.lib.subwords import undo_subwords
from scripts.lib.text import Detokenizer, Normaliser, detokenise
from scripts.prepare import main, parser

MULTI30K = default_raw_folder(RECIPES["multi30k_en_de"].corpus)
SCRIPT = ROOT / "scripts" / "prepare.py"
WORDS = {
    "en": ["a", "the", "man", "woman", "dog", "house", "green", "small", "old", "runs", "sees", "near", "don't"],
    "de": ["ein", "der", "Mann", "Frau", "Hund", "Häuschen", "Straße", "grün", "alt", "läuft", "sieht", "neben"],
}
REFERENCE_FILES = ["test.de.1", "test.de.2"]


def sentences(language: str, number: int, seed: int) -> list[str]:
    generator = random.Random(f"{language} {seed}")
    lines = []
    for _ in range(number):
        words = generator.choices(WORDS[language], k=generator.randint(3, 12))
        lines.append(" ".join(words).capitalize() + generator.choice([".", "!", ", (or so).", ' "here".']))
    return lines


def write(path: Path, lines: list[str], *, newline: str = "\n") -> Path:
    path.write_bytes("".join(line + newline for line in lines).encode())
    return path


def write_corpus(folder: Path, train: int = 40) -> dict[str, list[Path]]:
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"train": train, "valid": 12, "test": 9}
    return {
        split: [write(folder / f"{split}.{language}", sentences(language, size, seed)) for language in ("en", "de")]
        for seed, (split, size) in enumerate(sizes.items())
    }


def arguments(files: dict[str, list[Path]], output: Path, *more: str) -> list[str]:
    given = ["--name", "toy", "--source-lang", "en", "--target-lang", "de", "--output", str(output), "--workers", "1"]
    given += ["--bpe-merges", "60"] if "--subword" not in more else []
    for split, sides in files.items():
        given += [f"--{split}", *map(str, sides)]
    return [*given, *more]


def until_binarising(given: list[str]) -> Path:
    """Run every stage but the last, which starts fairseq, and return the data folder."""
    job, _ = resolve(parser().parse_args(given))
    for stage in plan(job)[:-1]:
        if not store(job).is_done(stage):
            store(job).run(stage)
    return job.output


def lines(path: Path) -> list[str]:
    return path.read_bytes().decode().removesuffix("\n").split("\n")


@pytest.fixture
def corpus(tmp_path: Path) -> dict[str, list[Path]]:
    return write_corpus(tmp_path / "in")


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[[list[str]], str]:
    """Run the script on bad input; returns its one sentence."""

    def run(given: list[str]) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            run_main(lambda: main(given))
        error = capsys.readouterr().err.splitlines()
        assert stopped.value.code == 2
        assert error[-1].startswith("error: ")
        assert error[-1].endswith(".")
        return error[-1]

    return run


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Text with one of everything that is cleaned away, CRLF and gzip included."""
    folder = tmp_path_factory.mktemp("dirty")
    files = write_corpus(folder, train=5000)
    train = {language: sentences(language, 5000, 7) for language in ("en", "de")}
    train["en"][1] = ""
    train["de"][4] = " \t "
    train["en"][9] = "word " * 200
    train["en"][12] = "He said <mask> and <unk>."
    train["de"][15] = "Zeile\u2028mit\x85Trennern\rdarin."
    for language, path in zip(("en", "de"), files["train"], strict=True):
        text = "".join(line + "\n" for line in train[language])
        path.with_suffix(f".{language}.gz").write_bytes(gzip.compress(text.encode()))
    files["train"] = [path.with_suffix(f"{path.suffix}.gz") for path in files["train"]]
    write(files["valid"][0], sentences("en", 12, 1), newline="\r\n")
    for number, name in enumerate(REFERENCE_FILES):
        write(
            folder / name,
            ["" if index == number else line for index, line in enumerate(sentences("de", 9, 50 + number))],
        )
    return files


@pytest.fixture(scope="module")
def dirty_arguments(dirty: dict[str, list[Path]]) -> Callable[[Path], list[str]]:
    references = [str(dirty["test"][0].parent / name) for name in REFERENCE_FILES]
    return lambda output: [*arguments(dirty, output, "--test-references", *references), "--workers", "2"]


@pytest.fixture(scope="module")
def prepared(dirty_arguments: Callable[[Path], list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("out") / "toy"
    main(dirty_arguments(output))
    return output


@pytest.mark.end_to_end
class TestDataFolder:
    def test_record(self, prepared: Path) -> None:
        record = json.loads((prepared / "prepare.json").read_text())
        assert (record["source_lang"], record["target_lang"]) == ("en", "de")
        assert record["options"]["tokenizer"] == {"en": "moses", "de": "moses"}
        assert record["options"]["subword"] == "bpe"
        train = record["counts"]["train"]
        assert (train["read"], train["kept"]) == (5000, 4997)
        assert train["dropped"] == {"empty": 2, "too long": 1}
        assert train["first_dropped"] == {"empty": [2, 5], "too long": [10]}
        assert train["changed"] == {
            "line separators inside replaced by spaces": 1,
            "reserved symbols neutralised": 1,
        }
        assert record["counts"]["valid"]["changed"] == {}, "CRLF line ends are no separators inside a line"
        assert len(record["sha256"]) == 8

    def test_every_step_has_a_line_for_every_kept_pair(self, prepared: Path) -> None:
        counts = json.loads((prepared / "prepare.json").read_text())["counts"]
        for split, count in counts.items():
            for language in ("en", "de"):
                for kind in ("raw", "tok", "bpe"):
                    text = (prepared / kind / f"{split}.{language}").read_text()
                    assert text.count("\n") == len(text.splitlines()) == count["kept"]
                found = read_binarised(prepared / f"{split}.en-de.{language}")
                assert found.sentences == count["kept"]
                assert found.tokens == count["tokens"][language]
                assert found.types == count["types"][language]

    def test_dictionaries(self, prepared: Path) -> None:
        source, target = ((prepared / f"dict.{language}.txt").read_text() for language in ("en", "de"))
        assert source == target
        assert source.splitlines()[-2:] == ["<mask> 0", "<blank> 0"]

    def test_reserved_symbols_never_reach_the_text(self, prepared: Path) -> None:
        tokens = set((prepared / "bpe" / "train.en").read_text().split())
        assert tokens.isdisjoint({"<mask>", "<blank>", "<unk>", "<pad>", "<s>", "</s>"})
        assert "He said <mask> and <unk>." in lines(prepared / "raw" / "train.en")

    def test_separators_become_spaces(self, prepared: Path) -> None:
        assert "Zeile mit Trennern darin." in lines(prepared / "raw" / "train.de")

    def test_further_references(self, prepared: Path, dirty: dict[str, list[Path]]) -> None:
        for name in REFERENCE_FILES:
            given = lines(dirty["test"][0].parent / name)
            assert lines(prepared / "raw" / name) == given
            assert list(detokenise(lines(prepared / "tok" / name), "de", "moses")) == given

    def test_way_back(self, prepared: Path) -> None:
        back = detokenise(undo_subwords(lines(prepared / "bpe" / "test.en"), "bpe"), "en", "moses")
        assert list(back) == list(map(Normaliser("en", punctuation=True), lines(prepared / "raw" / "test.en")))

    def test_repeating_is_instant_and_changes_nothing(
        self, prepared: Path, dirty_arguments: Callable[[Path], list[str]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = {path: path.stat().st_mtime_ns for path in prepared.rglob("*") if path.name != "lock"}
        start = time.monotonic()
        main(dirty_arguments(prepared))
        assert time.monotonic() - start < 2
        assert {path: path.stat().st_mtime_ns for path in prepared.rglob("*") if path.name != "lock"} == before
        output = capsys.readouterr().out
        assert output.count("done already") == 8
        assert "train: 2 dropped, empty (lines 2, 5)" in output

    def test_dry_run_knows_what_is_done(
        self, prepared: Path, dirty_arguments: Callable[[Path], list[str]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        main([*dirty_arguments(prepared), "--max-tokens", "100", "--dry-run"])
        steps = capsys.readouterr().out.splitlines()
        done = [step for step in steps if step.endswith("(done already)")]
        assert len(done) == 5, "tokenise ×3, learn, and the test set, whose limit is another"
        assert steps[-1].startswith("fairseq-preprocess --user-dir ")


@pytest.mark.end_to_end
def test_kill_and_resume(prepared: Path, dirty_arguments: Callable[[Path], list[str]], tmp_path: Path) -> None:
    """Killed in two stages and run again, it leaves byte for byte what an undisturbed run leaves."""
    output = tmp_path / "toy"
    given = [sys.executable, str(SCRIPT), *dirty_arguments(output)]
    for stage in ("tokenise-train", "segment-train"):
        process = subprocess.Popen(given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not list(output.glob(f"{STAGES}/unfinished-{stage}-*/**/*train.de")):
            assert process.poll() is None, f"it ended before {stage} could be seen"
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not (output / STAGES / f"{stage}.json").exists()
        assert not (output / "prepare.json").exists()
    while True:  # the workers end with their parent, and hold the lock until then
        finished = subprocess.run(given, capture_output=True, text=True, check=False)
        if "another process" not in finished.stderr:
            break
    assert finished.returncode == 0, finished.stderr
    assert "done already: normalise and tokenise train" in finished.stdout
    assert not list((output / STAGES).glob("unfinished-*"))
    for path in prepared.rglob("*"):
        name = path.relative_to(prepared)
        if path.is_file() and name.parts[0] != STAGES and name.name != "prepare.json":
            assert (output / name).read_bytes() == path.read_bytes(), name


@pytest.mark.end_to_end
def test_word_level_with_separate_dictionaries(corpus: dict[str, list[Path]], tmp_path: Path) -> None:
    output = tmp_path / "toy"
    main(arguments(corpus, output, "--subword", "none", "--min-count", "2"))
    record = json.loads((output / "prepare.json").read_text())
    assert record["options"]["joined_dictionary"] is False
    source, target = ((output / f"dict.{language}.txt").read_text() for language in ("en", "de"))
    assert "Mann " in target
    assert "Mann " not in source
    assert source.splitlines()[-2:] == target.splitlines()[-2:] == ["<mask> 0", "<blank> 0"]
    assert lines(output / "bpe" / "train.de") == lines(output / "tok" / "train.de")
    counts = {line.split()[0]: int(line.split()[1]) for line in target.splitlines()}
    rare = sum(token not in counts for line in lines(output / "bpe" / "test.de") for token in line.split())
    assert record["counts"]["test"]["unknown"]["de"] == rare
    assert not list(output.glob("codes*"))


class TestOptions:
    def test_separate_bpe(self, corpus: dict[str, list[Path]], tmp_path: Path) -> None:
        output = until_binarising(arguments(corpus, tmp_path / "toy", "--separate-subwords"))
        assert (output / "codes.en.bpe").read_text() != (output / "codes.de.bpe").read_text()
        assert not (output / "codes.bpe").exists()

    def test_changed_subwords_redo_what_depends_on_them(self, corpus: dict[str, list[Path]], tmp_path: Path) -> None:
        output = until_binarising(arguments(corpus, tmp_path / "toy"))
        tokenised = (output / STAGES / "tokenise-train.json").stat().st_mtime_ns
        text = lines(output / "bpe" / "train.en")
        until_binarising(arguments(corpus, output, "--subword", "bpe", "--bpe-merges", "5"))
        assert (output / STAGES / "tokenise-train.json").stat().st_mtime_ns == tokenised
        assert lines(output / "bpe" / "train.en") != text

    def test_another_kind_of_subwords_leaves_no_old_model(self, corpus: dict[str, list[Path]], tmp_path: Path) -> None:
        output = until_binarising(arguments(corpus, tmp_path / "toy"))
        until_binarising(arguments(corpus, output, "--subword", "sentencepiece", "--vocab-size", "70"))
        assert (output / "spm.model").is_file()
        assert not (output / "codes.bpe").exists()
        back = list(undo_subwords(lines(output / "bpe" / "test.de"), "sentencepiece"))
        assert back == lines(output / "tok" / "test.de")

    def test_changed_file_is_noticed(self, corpus: dict[str, list[Path]], tmp_path: Path) -> None:
        given = arguments(corpus, tmp_path / "toy")
        output = until_binarising(given)
        write(corpus["test"][0], sentences("en", 9, 99))
        until_binarising(given)
        assert lines(output / "raw" / "test.en") == sentences("en", 9, 99)

    def test_lost_file_is_made_again(self, corpus: dict[str, list[Path]], tmp_path: Path) -> None:
        given = arguments(corpus, tmp_path / "toy")
        output = until_binarising(given)
        text = (output / "bpe" / "valid.en").read_bytes()
        (output / "bpe" / "valid.en").unlink()
        until_binarising(given)
        assert (output / "bpe" / "valid.en").read_bytes() == text

    def test_workers_do_not_change_the_result(
        self, dirty: dict[str, list[Path]], prepared: Path, tmp_path: Path
    ) -> None:
        output = until_binarising(arguments(dirty, tmp_path / "toy"))
        for name in ("codes.bpe", "bpe/train.en", "bpe/train.de"):
            assert (output / name).read_bytes() == (prepared / name).read_bytes()

    def test_length_ratio_and_duplicates(self, corpus: dict[str, list[Path]], tmp_path: Path) -> None:
        pair = ["A man sees the dog.", "Der Mann sieht den Hund."]
        for path, line, other in zip(corpus["train"], pair, ["Yes.", "Ja, " * 40], strict=True):
            write(path, [line, line, other, line])
        output = until_binarising(arguments(corpus, tmp_path / "toy", "--max-ratio", "3", "--drop-duplicates"))
        result = json.loads((output / STAGES / "segment-train.json").read_text())["result"]
        assert result["dropped"] == {"duplicate": 2, "length ratio": 1}
        assert result["first_dropped"] == {"duplicate": [2, 4], "length ratio": [3]}
        assert lines(output / "raw" / "train.en") == [pair[0]]

    def test_tokenizers(self, corpus: dict[str, list[Path]], tmp_path: Path) -> None:
        write(corpus["test"][1], ["zwei Häuschen"] * 9)
        output = until_binarising(arguments(corpus, tmp_path / "toy", "--tokenizer", "en=none", "de=char"))
        assert lines(output / "tok" / "test.de")[0] == "z w e i ▁ H ä u s c h e n"
        assert lines(output / "tok" / "test.en") == lines(corpus["test"][0])

    def test_invalid_utf8_replaced(self, corpus: dict[str, list[Path]], tmp_path: Path) -> None:
        corpus["train"][0].write_bytes(corpus["train"][0].read_bytes().replace(b".", b"\xff.", 1))
        output = until_binarising(arguments(corpus, tmp_path / "toy", "--replace-invalid-utf8"))
        stage = json.loads((output / STAGES / "tokenise-train.json").read_text())
        assert stage["result"]["changed"] == {"invalid UTF-8 replaced": 1}
        assert "\ufffd" in (output / "raw" / "train.en").read_text()

    def test_byte_order_mark_is_no_text(self, corpus: dict[str, list[Path]], tmp_path: Path) -> None:
        first = lines(corpus["train"][0])[0]
        corpus["train"][0].write_bytes(b"\xef\xbb\xbf" + corpus["train"][0].read_bytes())
        assert lines(until_binarising(arguments(corpus, tmp_path / "toy")) / "raw" / "train.en")[0] == first


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


def test_unreadable_binarised_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.en-de.en.idx").write_bytes(b"MMIDIDX\x00\x00 cut")
    with pytest.raises(UserError, match="is not whole"):
        read_binarised(tmp_path / "train.en-de.en")
