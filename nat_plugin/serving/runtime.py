"""Translating with an exported model: numpy and onnxruntime, neither torch nor fairseq."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nat_plugin.errors import UserError

FP32, INT8 = "model.onnx", "model.int8.onnx"
DESCRIPTION = "export.json"
SYMBOLS = {"source": "source_symbols.txt", "target": "target_symbols.txt"}


class Translation(NamedTuple):
    """Attributes:
    tokens: ids of the target's symbols.
    score: mean log-probability of the tokens, nats; -inf where there is none.
    """

    tokens: list[int]
    score: float


class OnnxTranslator:
    """A folder that ``scripts/export.py`` wrote, ready to translate.

    Args:
        folder: with the model, its symbols and its description.
        int8: the form with weights of 8 bits; else single precision.
        threads: of one translation.

    Raises:
        UserError: onnxruntime is not installed, or the folder lacks something.
    """

    def __init__(self, folder: str | os.PathLike[str], *, int8: bool = True, threads: int = 1) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(f"translating with an exported model needs onnxruntime ({error}): install it.") from error
        place = Path(folder)
        self.path = place / (INT8 if int8 else FP32)
        try:
            self.description = json.loads((place / DESCRIPTION).read_text(encoding="utf-8"))
            self._source, self._target = (_read_symbols(place / name) for name in SYMBOLS.values())
            ids = self.description["symbols"]
            self._pad, self._eos, self._unk = ids["pad"], ids["eos"], ids["unk"]
            self.longest_source = int(self.description["longest_source"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{place} is not what scripts/export.py writes ({error}): export it again.") from error
        if not self.path.is_file():
            raise UserError(f"{place} holds no {self.path.name}: export the model again, or choose the other form.")
        self._ids = {symbol: index for index, symbol in enumerate(self._source)}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])

    def translate(self, sentences: Sequence[str]) -> list[str]:
        """Translate a batch.

        Args:
            sentences: source tokens (subwords as the model was trained on), separated by spaces.

        Returns:
            Target tokens, separated by spaces.

        Raises:
            UserError: a sentence is empty or too long.
        """
        found = self.translate_ids([[self._ids.get(token, self._unk) for token in line.split()] for line in sentences])
        return [self.text(one.tokens) for one in found]

    def translate_ids(self, sentences: Sequence[Sequence[int]]) -> list[Translation]:
        """As :meth:`translate`, from ids without end marker to ids with their score.

        Raises:
            UserError: a sentence is empty or too long.
        """
        for number, sentence in enumerate(sentences, start=1):
            if not 1 <= len(sentence) < self.longest_source:
                raise UserError(
                    f"sentence {number} of the batch has {len(sentence)} tokens, and this model takes 1 to "
                    f"{self.longest_source - 1}: split it, or leave it out."
                )
        if not sentences:
            return []
        batch = np.full((len(sentences), 1 + max(map(len, sentences))), self._pad, dtype=np.int64)
        for row, sentence in zip(batch, sentences, strict=True):
            row[: len(sentence) + 1] = [*sentence, self._eos]
        return self.run(batch)

    def run(self, src_tokens: NDArray[np.int64]) -> list[Translation]:
        """Translate a padded batch.

        Args:
            src_tokens: [B, S] ids, each row with its end marker, padded on the right.
        """
        tokens, lengths, scores = self._session.run(None, {"src_tokens": src_tokens})
        return [
            Translation(row[:length].tolist(), float(score))
            for row, length, score in zip(tokens, lengths, scores, strict=True)
        ]

    def text(self, tokens: Sequence[int]) -> str:
        """Ids of the target's symbols as tokens, separated by spaces."""
        return " ".join(self._target[token] for token in tokens)


def _read_symbols(path: Path) -> list[str]:
    """One symbol a line, in the order of their ids."""
    return path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")
