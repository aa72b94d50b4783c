"""scripts/compare.py: rows of evaluate.py and plain texts, both tables, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nat_plugin.errors import UserError
from scripts.compare import main

REFERENCE = ["Ein Hund läuft.", "Die Frau sieht den alten Mann auf der Straße.", "Zwei Kinder spielen im Park."]
WORSE = ["Ein Ein läuft.", "Die Frau sieht den Mann Mann auf Straße.", "Zwei Kinder Kinder im Park."]


def write(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def prepared_data(folder: Path, reference: list[str]) -> Path:
    options = {"tokenizer": {"en": "moses", "de": "moses"}, "subword": "bpe"}
    folder.mkdir()
    (folder / "prepare.json").write_text(json.dumps({"source_lang": "en", "target_lang": "de", "options": options}))
    write(folder / "raw" / "test.de", reference)
    return folder


def row(folder: Path, system: str, lines: list[str], data: Path) -> Path:
    write(folder / "test.hyp.txt", lines)
    path = folder / "test.json"
    path.write_text(json.dumps([{"system": system, "data": str(data), "split": "test"}]))
    return path


def test_rows_bring_their_translations_references_and_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, output = prepared_data(tmp_path / "data", REFERENCE), tmp_path / "compared.json"
    worse = row(tmp_path / "a", "cross entropy", WORSE, data)
    better = row(tmp_path / "b", "AXE", REFERENCE, data)
    main([str(worse), str(better), "--samples", "50", "--buckets", "5", "--output", str(output)])
    record = json.loads(output.read_text(encoding="utf-8"))
    baseline, other = record["systems"]
    assert (baseline["system"], other["system"]) == ("cross entropy", "AXE")
    assert other["bleu"] == pytest.approx(100)
    assert other["difference"] == pytest.approx(100 - baseline["bleu"])
    assert [bucket["sentences"] for bucket in record["by_reference_length"]] == [1, 2]
    shown = capsys.readouterr().out
    assert f"{other['difference']:+.2f}" in shown
    assert "1–4: 1" in shown
    assert record["signature"] in shown


def test_a_run_stands_for_the_row_of_its_test_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = prepared_data(tmp_path / "data", REFERENCE)
    row(tmp_path / "a" / "results", "cross entropy", WORSE, data)
    row(tmp_path / "b" / "results", "AXE", REFERENCE, data)
    main([str(tmp_path / "a"), str(tmp_path / "b"), "--samples", "20"])
    assert "cross entropy" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"there is no .*data/results/test\.json: run scripts/evaluate\.py first"):
        main([str(data), str(tmp_path / "b")])


def test_data_are_found_above_the_run_from_wherever_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared_data(tmp_path / "data", REFERENCE)
    for name, lines in (("a", WORSE), ("b", REFERENCE)):
        row(tmp_path / "runs" / name / "results", f"system {name}", lines, Path("data"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    main(["../runs/a", "../runs/b/results/test.json", "--samples", "20"])
    assert "system b" in capsys.readouterr().out


def test_texts_need_references_and_names_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference = write(tmp_path / "ref.de", REFERENCE)
    worse, better = write(tmp_path / "a" / "out.de", WORSE), write(tmp_path / "b" / "out.de", REFERENCE)
    with pytest.raises(UserError, match="texts need --references"):
        main([str(worse), str(better)])
    with pytest.raises(UserError, match=r"a name of its own: out\.de, out\.de"):
        main([str(worse), str(better), "--references", str(reference)])
    main([str(worse), str(better), "--references", str(reference), "--names", "one", "two", "--samples", "20"])
    assert "one" in capsys.readouterr().out


def test_rows_of_different_test_sets_and_other_json_are_refused(tmp_path: Path) -> None:
    first = row(tmp_path / "a", "a", WORSE, prepared_data(tmp_path / "data", REFERENCE))
    second = row(tmp_path / "b", "b", WORSE, prepared_data(tmp_path / "other", WORSE))
    with pytest.raises(UserError, match="a and b are not of the same test set"):
        main([str(first), str(second)])
    (tmp_path / "a" / "test.hyp.txt").unlink()
    with pytest.raises(UserError, match=r"no row of scripts/evaluate\.py with its translations"):
        main([str(first), str(second)])
