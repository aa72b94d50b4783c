"""A data directory of ``scripts/prepare.py``: its languages, its text, and the way back from subwords to text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nat_plugin.errors import UserError
from scripts.lib.subwords import SUBWORDS, undo_subwords
from scripts.lib.text import TOKENIZERS, SubwordKind, TokenizerKind, detokenise


@dataclass(frozen=True)
class PreparedData:
    """What is needed to turn a model's output in the target language into text, and to compare it with references."""

    folder: Path
    source_lang: str
    target_lang: str
    tokenizer: TokenizerKind
    """Of the target language."""
    subword: SubwordKind

    @classmethod
    def load(cls, folder: Path) -> PreparedData:
        """Read ``folder/prepare.json``.

        Raises:
            UserError: the folder or the file is missing, or the file does not say what is needed.
        """
        path = folder / "prepare.json"
        if not folder.is_dir():
            raise UserError(f"there is no data folder {folder}: name another, or make it with scripts/prepare.py.")
        try:
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            source, target, options = record["source_lang"], record["target_lang"], record["options"]
            tokenizer, subword = options["tokenizer"][target], options["subword"]
        except FileNotFoundError as error:
            raise UserError(
                f"{folder} has no prepare.json, which says how to undo tokens and subwords: prepare the data with "
                "scripts/prepare.py, or score text files with --hypotheses and --references."
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} lacks what scripts/prepare.py writes ({error!r}): prepare the data again."
            ) from error
        if tokenizer not in TOKENIZERS or subword not in SUBWORDS:
            raise UserError(
                f"{path} names tokenizer '{tokenizer}' and subwords '{subword}', which are not known here: prepare the "
                "data again."
            )
        return cls(folder, source, target, tokenizer, subword)

    @property
    def has_words(self) -> bool:
        """Whether the prepared tokens of the target language are words: not characters, nor text that only
        sentencepiece split."""
        return self.tokenizer in ("moses", "jieba") or (self.tokenizer == "none" and self.subword != "sentencepiece")

    def words(self, lines: Iterable[str]) -> list[str]:
        """Subwords → the prepared tokens."""
        return list(undo_subwords(lines, self.subword))

    def text(self, words: Iterable[str]) -> list[str]:
        """Prepared tokens → text as a person writes it."""
        return list(detokenise(words, self.target_lang, self.tokenizer))

    def sources(self, split: str) -> list[str]:
        """The untouched source sentences."""
        return read_text(self.folder / "raw" / f"{split}.{self.source_lang}")

    def references(self, split: str) -> list[list[str]]:
        """The untouched target sentences: one list a reference file."""
        return self._all_references("raw", split)

    def tokenized_references(self, split: str) -> list[list[str]]:
        """The same in prepared tokens."""
        return self._all_references("tok", split)

    def _all_references(self, kind: str, split: str) -> list[list[str]]:
        first = self.folder / kind / f"{split}.{self.target_lang}"
        numbers = range(1, len(self._further_references(split)) + 1)
        files = [first, *(first.with_name(f"{first.name}.{number}") for number in numbers)]
        texts = [read_text(path) for path in files]
        for path, lines in zip(files, texts, strict=True):
            if len(lines) != len(texts[0]):
                raise UserError(
                    f"{files[0]} has {len(texts[0])} lines but {path} has {len(lines)}: prepare the data again."
                )
        return texts

    def _further_references(self, split: str) -> list[Path]:
        first = self.folder / "raw" / f"{split}.{self.target_lang}"
        return [path for path in first.parent.glob(f"{first.name}.*") if path.suffix[1:].isdigit()]


def read_text(path: Path) -> list[str]:
    """The lines of a text file; only ``\\n`` (or ``\\r\\n``) ends one.

    Raises:
        UserError: there is no such file, it is empty, or a line is not UTF-8.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}: check the path.") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder: name a text file.") from error
    return decode_text(data, str(path))


def decode_text(data: bytes, name: str) -> list[str]:
    """The lines of a text; only ``\\n`` (or ``\\r\\n``) ends one.

    Args:
        name: what to call it in a message.

    Raises:
        UserError: it is empty, or a line is not UTF-8.
    """
    if not data:
        raise UserError(f"{name} is empty: give a text with one sentence a line.")
    lines = []
    for number, raw in enumerate(data.removesuffix(b"\n").split(b"\n"), start=1):
        try:
            lines.append(raw.decode("utf-8").rstrip("\r"))
        except UnicodeDecodeError as error:
            raise UserError(
                f"{name}:{number} is not UTF-8 (byte {error.start + 1} of the line): convert the file to UTF-8."
            ) from error
    return lines
