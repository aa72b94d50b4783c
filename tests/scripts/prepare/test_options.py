"""Options of scripts/prepare.py, up to the last stage, which starts fairseq."""

from __future__ import annotations

import json
from pathlib import Path

from scripts.lib.preparation.job import STAGES
from scripts.lib.subwords import undo_subwords
from tests.scripts.prepare.toy import (
    arguments,
    lines,
    sentences,
    until_binarising,
    write,
)


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
