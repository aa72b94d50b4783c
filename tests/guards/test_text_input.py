"""What fairseq-interactive reads."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from nat_plugin.errors import UserError
from nat_plugin.guards import text_input


def test_lines_are_stripped_and_come_in_groups(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("eins\r\n  zwei \n\ndrei\u2028vier\nfünf".encode())
    assert list(text_input.read_sentences(str(path), 2)) == [["eins", "zwei"], ["", "drei\u2028vier"], ["fünf"]]


def test_standard_input_is_read_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO(b"one\ntwo\n\xc3\n")
    monkeypatch.setattr(text_input.sys, "stdin", SimpleNamespace(buffer=stream))
    lines = text_input.read_sentences("-", 1)
    assert next(lines) == ["one"]
    assert next(lines) == ["two"]
    with pytest.raises(UserError, match=r"line 3 of standard input is not valid UTF-8 \(byte 1: 0xc3\)"):
        next(lines)
