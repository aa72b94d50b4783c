"""What scripts/prepare.py writes for text with one of everything that is cleaned away, killed and resumed too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.lib.binarise import read_binarised
from scripts.lib.preparation.job import STAGES
from scripts.lib.subwords import undo_subwords
from scripts.lib.text import Normaliser, detokenise
from scripts.prepare import main
from tests.scripts.prepare.toy import (
    REFERENCE_FILES,
    SCRIPT,
    arguments,
    lines,
)


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
