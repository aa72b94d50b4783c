"""scripts/list_results.py: rows of several files as one table, and the page that has all of ours."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from glob import glob
from pathlib import Path
from typing import Any

import pytest

from nat_plugin.errors import UserError
from scripts import list_results
from tests.documented import ROOT

PAGE = ROOT / "docs" / "results_rows.md"


def write(path: Path, content: Any) -> str:
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def row(bleu: float, run: str = "toy_kd/ctc_tiny", **more: Any) -> dict[str, Any]:
    decoding = {"source_lang": "en", "iterations": 1, "length_multiplier": 1.0}
    return {
        "system": "x", "bleu": bleu, "checkpoint": f"runs/{run}/checkpoints/averaged.pt", "split": "test",
        "decoding": decoding, **more,
    }  # fmt: skip


def cells(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]


def test_a_translation_stands_once_with_what_all_files_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = write(
        tmp_path / "table.json", {"rows": [row(20.0, updates=5000), row(31.5, "toy/teacher_tiny", updates=7)]}
    )
    second = write(tmp_path / "other.json", [row(20.0, updates=None, speedup=6.04, repeated_tokens=0.0212)])
    times = write(tmp_path / "times.json", {"systems": [{"bleu": 20.0}]})
    list_results.main([first, second, times])
    shown = capsys.readouterr().out
    heading, best, worse = cells(shown)
    assert [heading[0], heading[2], heading[-1]] == ["model", "BLEU", "in"]
    assert [best[0], best[2], best[-1]] == ["toy/teacher_tiny", "31.50", "table"]
    found = dict(zip(heading, worse, strict=True))
    assert found["model"] == "toy_kd/ctc_tiny"
    assert (found["updates"], found["L1 speed-up"], found["repeated %"]) == ("5000", "6.0", "2.12")
    assert (found["L1 ms"], found["in"]) == ("–", "other, table")
    assert "1 of 3 files hold no translations" in shown


def test_decoding_training_and_split_tell_rows_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tuned = row(21.0, decoding={"blank_penalty": 2, "ngram_lm_path": "data-bin/toy/lm.arpa", "iterations": 1})
    file = write(tmp_path / "a.json", [row(20.0), row(20.5), tuned, row(30.0, split="valid")])
    list_results.main([file])
    shown = capsys.readouterr().out
    assert [line[2] for line in cells(shown)] == ["BLEU", "21.00", "20.50", "20.00", "BLEU", "30.00"]
    assert cells(shown)[1][1] == "blank_penalty=2, ngram_lm_path=lm.arpa"
    assert cells(shown)[2][1] == ""
    assert "3 rows of the test set" in shown
    assert "1 row of the split valid" in shown


def test_what_cannot_be_listed_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"broken\.json cannot be read as JSON .*leave it out"):
        list_results.main([str(broken)])
    with pytest.raises(UserError, match=r"none\.json cannot be read"):
        list_results.main([str(tmp_path / "none.json")])
    with pytest.raises(UserError, match="no file has a row with BLEU"):
        list_results.main([write(tmp_path / "times.json", {"systems": []})])


def test_the_page_is_as_the_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = re.findall(r"^scripts/list_results\.py (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(commands) == 4
    monkeypatch.chdir(ROOT)
    copy = Path(shutil.copy(PAGE, tmp_path))
    for command in commands:
        words = [word for each in shlex.split(command) for word in (sorted(glob(each)) if "*" in each else [each])]
        words[words.index("--docs") + 1] = str(copy)
        list_results.main(words)
    assert copy.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8"), "run the page's commands"
