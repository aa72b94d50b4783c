"""Text that no data folder holds yet: into subwords as the training data were made, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from nat_plugin.errors import UserError
from nat_plugin.weights import dictionary_words
from scripts.lib import subwords
from scripts.lib.prepared_data import PreparedData
from scripts.lib.text import Normaliser, Tokenizer


class PreparedText(NamedTuple):
    """Attributes:
    lines: subwords of each sentence that has any, joined by spaces.
    places: the number of each in the text, from 0.
    unknown: how many subwords the dictionary lacks.
    """

    lines: list[str]
    places: list[int]
    unknown: int


class SourceSide:
    """What scripts/prepare.py did with the source language of a data folder.

    Args:
        data: the folder, or one that scripts/distill.py made of it.

    Raises:
        UserError: the folder does not say how, or its subword model is gone.
    """

    def __init__(self, data: PreparedData) -> None:
        record = json.loads((data.folder / "prepare.json").read_text(encoding="utf-8"))["options"]
        language, kind = data.source_lang, data.subword
        tokenizer = record["tokenizer"][language]
        self._normalise = Normaliser(
            language,
            punctuation=bool(record.get("normalise_punctuation")) and tokenizer == "moses",
            romanian=record.get("romanian", "as-is"),
        )
        self._tokenise = Tokenizer(language, tokenizer, kind, lowercase=bool(record.get("lowercase")))
        self._segment = subwords.load(kind, _subword_model(data, shared=bool(record.get("joint_subwords", True))))
        self._known = frozenset(dictionary_words(data.folder / f"dict.{language}.txt"))

    def prepare(self, text: Sequence[str]) -> PreparedText:
        """Normalise, tokenise and segment lines; those without a token are left out, and are to stay empty."""
        lines = [self._segment(self._tokenise(self._normalise(line))) for line in text]
        places = [place for place, line in enumerate(lines) if line.strip()]
        kept = [lines[place] for place in places]
        return PreparedText(kept, places, sum(token not in self._known for line in kept for token in line.split()))


def _subword_model(data: PreparedData, *, shared: bool) -> Path:
    path = data.folder / subwords.model_name(data.subword, None if shared else data.source_lang)
    if data.subword != "none" and not path.is_file():
        raise UserError(f"there is no {path}, which splits words into subwords: prepare the data again.")
    return path
