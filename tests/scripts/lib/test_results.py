"""scripts/lib/results.py: files of result rows that are updated, and their table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nat_plugin.errors import UserError
from scripts.lib.results import read_rows, table, update_rows


def row(system: str, bleu: float, split: str | None = None) -> dict[str, Any]:
    return {"system": system, "bleu": bleu} | ({"split": split} if split else {})


def test_rows_are_replaced_by_system_and_split_in_their_place(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "rows.json"
    update_rows(path, [row("a", 1, "test"), row("b", 2), row("a", 3, "valid")])
    update_rows(path, [row("b", 4, "test"), row("a", 5, "valid"), row("c", 6, "test")])
    expected = [row("a", 1, "test"), row("b", 4, "test"), row("a", 5, "valid"), row("c", 6, "test")]
    assert read_rows(path) == expected
    assert list(path.parent.iterdir()) == [path], "nothing temporary is left"


def test_no_file_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "none.json") == []


@pytest.mark.parametrize("content", ["{", '{"system": "a"}', '[{"bleu": 1}]', "[1]"])
def test_another_file_is_refused_and_kept(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rows.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"rows\.json is not .*: name another file"):
        update_rows(path, [row("a", 1)])
    assert path.read_text(encoding="utf-8") == content


def test_table_shows_shares_as_percentages_and_marks_what_is_missing() -> None:
    full = {
        **{"system": "axe", "bleu": 12.345, "repeated_tokens": 0.0141, "repetitions_per_sentence": 0.174},
        **{"ms_per_sentence": 3.0, "tokenized_bleu": None},
    }
    headings, rule, line = table([full]).splitlines()
    assert headings.split()[:2] == ["system", "BLEU"]
    assert set(rule) == {"-", " "}
    assert line.split() == ["axe", "12.35", "–", "–", "–", "–", "–", "1.41", "0.17", "–", "3.00"]


def test_json_keeps_every_character(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    update_rows(path, [row("für 日本", 1.5)])
    assert "für 日本" in path.read_text(encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8"))[0]["bleu"] == 1.5
