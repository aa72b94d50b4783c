"""scripts/translate.py: new text is prepared as the data were, and translated as scripts/evaluate.py does."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from nat_plugin.errors import UserError
from scripts import evaluate, prepare, translate
from scripts.lib.new_text import SourceSide
from scripts.lib.prepared_data import PreparedData
from tests.scripts import tiny_training
from tests.scripts.prepare import toy
from tests.scripts.untrained_runs import make_run

TEST = f"raw/test.{tiny_training.SOURCE}"


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--separate-subwords", "--lowercase"],
        ["--subword", "sentencepiece", "--vocab-size", "60"],
        ["--tokenizer", "char", "--subword", "none"],
    ],
)
def test_new_text_is_prepared_as_the_data_were(options: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    prepare.main(toy.arguments(toy.write_corpus(tmp_path / "in", train=200), folder, *options))
    text, subwords = (toy.lines(folder / kind / "test.en") for kind in ("raw", "bpe"))
    found = SourceSide(PreparedData.load(folder)).prepare([*text[:3], " \t", *text[3:], "xyz"])
    assert found.lines[:-1] == subwords
    assert found.places == [0, 1, 2, *range(4, len(text) + 2)]
    assert found.unknown > 0


@pytest.mark.end_to_end
@pytest.mark.parametrize("method", ["ctc", "teacher"])
def test_translates_as_evaluation_does(
    method: str, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tiny_data, tmp_path / "run", method)
    evaluate.main([str(run), "--threads", "1"])
    expected = toy.lines(run / "results" / "test.hyp.txt")
    text = toy.lines(tiny_data / TEST)
    source, output = tmp_path / "new.txt", tmp_path / "out" / "new.out"
    source.write_text("\n".join(["", *text, "  "]) + "\n", encoding="utf-8")
    capsys.readouterr()
    translate.main([str(run), "--input", str(source), "--output", str(output), "--threads", "1"])
    assert toy.lines(output) == ["", *expected, ""]
    said = capsys.readouterr()
    assert said.out == ""
    assert f"2 of {len(text) + 2} lines are empty, and stay so" in said.err
    assert "$ fairseq-interactive" in said.err
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO((tiny_data / TEST).read_bytes())))
    printed = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", printed)
    translate.main([str(run), "--threads", "1"])
    assert printed.buffer.getvalue().decode().splitlines() == expected  # type: ignore[attr-defined]


@pytest.mark.end_to_end
def test_refuses_in_one_sentence(tiny_data: Path, tmp_path: Path) -> None:
    run = make_run(tiny_data, tmp_path / "run", "nat")
    source = tmp_path / "new.txt"

    def refusal(text: str, *more: str) -> str:
        source.write_text(text, encoding="utf-8")
        with pytest.raises(UserError) as error:
            translate.main([str(run), "--input", str(source), "--threads", "1", *more])
        return str(error.value)

    assert "is empty: give a text with one sentence a line" in refusal("")
    long = refusal("\ns1\n\n" + "s1 " * 2000 + "\n")
    assert "fairseq-interactive failed: 1 of 2 sentences are too long (number 4 has 2001 source tokens" in long
    skipped = refusal("\ns1\n\n" + "s1 " * 2000 + "\n", "--set", "skip_invalid_size_inputs_valid_test=true")
    assert "1 sentences have no translation, number 4 for one" in skipped
    assert "--path cannot be a decoding flag: use --checkpoint" in refusal("s1\n", "--set", "path=x.pt")
    assert "--threads must be at least 1" in refusal("s1\n", "--threads", "0")
    other = tmp_path / "data"
    other.mkdir()
    for name in ("dict.aa.txt", "dict.bb.txt", "prepare.json"):
        (other / name).write_bytes((tiny_data / name).read_bytes())
    record = json.loads((other / "prepare.json").read_text(encoding="utf-8"))
    record["options"]["subword"] = "bpe"
    (other / "prepare.json").write_text(json.dumps(record), encoding="utf-8")
    assert "codes.bpe, which splits words into subwords: prepare the data again" in refusal(
        "s1\n", "--data", str(other)
    )


@pytest.mark.end_to_end
def test_nothing_but_empty_lines_stay_so(tiny_data: Path, tmp_path: Path) -> None:
    run = make_run(tiny_data, tmp_path / "run", "nat")
    source, output = tmp_path / "new.txt", tmp_path / "new.out"
    source.write_text("\n \n", encoding="utf-8")
    translate.main([str(run), "--input", str(source), "--output", str(output)])
    assert output.read_bytes() == b"\n\n"
