"""scripts/lib/prepared_data.py: the way back from subwords to text, for each way of preparing it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nat_plugin.errors import UserError
from scripts.lib.prepared_data import PreparedData, read_text


def folder_with(folder: Path, language: str, tokenizer: str, subword: str) -> Path:
    options = {"tokenizer": {"en": "moses", language: tokenizer}, "subword": subword}
    record = {"source_lang": "en", "target_lang": language, "options": options}
    (folder / "prepare.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("language", "tokenizer", "subword", "output", "words", "text", "has_words"),
    [
        ("de", "moses", "bpe", "Sch@@ laf &quot; gut &quot; !", "Schlaf &quot; gut &quot; !", 'Schlaf "gut"!', True),
        ("de", "moses", "sentencepiece", "▁Sch laf ▁gut ▁!", "Schlaf gut !", "Schlaf gut!", True),
        ("de", "none", "none", "Schlaf gut !", "Schlaf gut !", "Schlaf gut !", True),
        ("ja", "none", "bpe", "彼 ら@@ は 。", "彼 らは 。", "彼 らは 。", True),
        ("ja", "none", "sentencepiece", "▁彼ら は 。", "彼らは。", "彼らは。", False),
        ("zh", "char", "none", "我 们 ▁ 去", "我 们 ▁ 去", "我们 去", False),
        ("de", "moses", "bpe", "", "", "", True),
    ],
)
def test_output_becomes_text_again(
    tmp_path: Path, language: str, tokenizer: str, subword: str, output: str, words: str, text: str, has_words: bool
) -> None:
    data = PreparedData.load(folder_with(tmp_path, language, tokenizer, subword))
    assert data.words([output]) == [words]
    assert data.text([words]) == [text]
    assert data.has_words is has_words


def test_references_are_found_in_order(tmp_path: Path) -> None:
    data = PreparedData.load(folder_with(tmp_path, "de", "moses", "bpe"))
    (tmp_path / "raw").mkdir()
    for number in range(12):
        name = f"test.de.{number}" if number else "test.de"
        (tmp_path / "raw" / name).write_text(f"{number}\n", encoding="utf-8")
    (tmp_path / "raw" / "test.de.orig").write_text("no reference\n", encoding="utf-8")
    assert data.references("test") == [[str(number)] for number in range(12)]


def test_references_of_unequal_length_are_refused(tmp_path: Path) -> None:
    data = PreparedData.load(folder_with(tmp_path, "de", "moses", "bpe"))
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "test.de").write_text("a\nb\n", encoding="utf-8")
    (tmp_path / "raw" / "test.de.1").write_text("a\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"test\.de has 2 lines but .*test\.de\.1 has 1"):
        data.references("test")


def test_missing_tokenised_reference_is_refused(tmp_path: Path) -> None:
    data = PreparedData.load(folder_with(tmp_path, "de", "moses", "bpe"))
    for name in ("raw/test.de", "raw/test.de.1", "tok/test.de"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"there is no file .*tok.test\.de\.1"):
        data.tokenized_references("test")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "lacks what scripts/prepare.py writes"),
        ('{"source_lang": "en", "target_lang": "de"}', "'options'"),
        ("[]", "lacks what scripts/prepare.py writes"),
        (
            '{"source_lang": "en", "target_lang": "de", "options": {"tokenizer": {"de": "mozes"}, "subword": "bpe"}}',
            "names tokenizer 'mozes'",
        ),
    ],
)
def test_damaged_record_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "prepare.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        PreparedData.load(tmp_path)


def test_only_newlines_end_a_line(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("a\u2028b\x85\r\n\n c\n".encode())
    assert read_text(path) == ["a\u2028b\x85", "", " c"]
    path.write_bytes(b"no end")
    assert read_text(path) == ["no end"]
    path.write_bytes(b"\n")
    assert read_text(path) == [""]
