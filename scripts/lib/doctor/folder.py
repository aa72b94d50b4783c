"""A folder of binarised data, whoever made it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nat_plugin.errors import UserError
from scripts.lib.binarise import read_tokens
from scripts.lib.prepared_data import read_text

SPLITS = ("train", "valid", "test")
OWN_SYMBOLS = ("<s>", "<pad>", "</s>", "<unk>")  # fairseq's, which stand in no file
END, UNKNOWN = OWN_SYMBOLS.index("</s>"), OWN_SYMBOLS.index("<unk>")
BINARISE_AGAIN = (
    "binarise again with scripts/prepare.py, or fairseq-preprocess --user-dir nat_plugin --task nat_translation"
)


class Side(NamedTuple):
    """One binarised side of a split: the sentences' lengths, end markers included, and all tokens in a row."""

    sizes: np.ndarray
    tokens: np.ndarray

    def sentences(self) -> list[np.ndarray]:
        """The tokens of each, its end marker included."""
        return np.split(self.tokens, np.cumsum(self.sizes)[:-1])

    def keys(self) -> list[bytes]:
        """Each sentence as something that can be looked up, whatever the files' number format."""
        return [sentence.astype(np.int32).tobytes() for sentence in self.sentences()]


@dataclass(frozen=True)
class DataFolder:
    """What fairseq would load."""

    folder: Path
    languages: tuple[str, str]
    prepared: Mapping[str, Any] | None
    """``prepare.json``, where scripts/prepare.py made the folder."""

    @classmethod
    def open(cls, folder: Path) -> DataFolder:
        """Find out the languages.

        Raises:
            UserError: there is no such folder, or nothing in it says what its languages are.
        """
        if not folder.is_dir():
            raise UserError(f"there is no data folder {folder}: name another, or make it with scripts/prepare.py.")
        path = folder / "prepare.json"
        if path.is_file():
            try:
                record = json.loads(path.read_text(encoding="utf-8"))
                return cls(folder, (record["source_lang"], record["target_lang"]), record)
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(f"{path} is not what scripts/prepare.py writes ({error!r}): prepare again.") from error
        pairs = {tuple(path.name.split(".")[1].split("-")) for path in folder.glob("train.*-*.*.idx")}
        if len(pairs) != 1:
            raise UserError(
                f"{folder} holds no binarised train.SOURCE-TARGET.*.idx, or several: name a folder that "
                "scripts/prepare.py or fairseq-preprocess wrote."
            )
        [(source, target)] = pairs
        return cls(folder, (source, target), None)

    def prefix(self, split: str, language: str) -> Path:
        """Of the two files of a side."""
        return self.folder / f"{split}.{'-'.join(self.languages)}.{language}"

    def dictionary(self, language: str) -> Path:
        return self.folder / f"dict.{language}.txt"

    def symbols(self, language: str) -> list[str]:
        """All entries in the order of their numbers, as a model counts them."""
        lines = read_text(self.dictionary(language))
        return [*OWN_SYMBOLS, *(line.rpartition(" ")[0] for line in lines if line)]

    def side(self, split: str, language: str) -> Side:
        return Side(*read_tokens(self.prefix(split, language)))

    def prepared_option(self, name: str) -> Any:
        """What scripts/prepare.py was told, or None."""
        return ((self.prepared or {}).get("options") or {}).get(name)
