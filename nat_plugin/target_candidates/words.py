"""Words of binarised text: subwords are joined, so that equal words are equal however they are cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

BPE_MARK, PIECE_MARK = "@@", "▁"


class Tokens(NamedTuple):
    """A binarised text: ``tokens`` [total], end markers included, and ``sizes`` [N], tokens of each sentence."""

    tokens: np.ndarray
    sizes: np.ndarray


class SubwordMarks:
    """How the symbols of a dictionary are joined into words: by ``@@`` of BPE or ``▁`` of sentencepiece, if it has any.

    Args:
        symbols: of the dictionary, in order.
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        self._symbols = np.array(symbols, dtype=object)
        self.post_process: str | None = None
        """fairseq's name for it."""
        if any(symbol.endswith(BPE_MARK) for symbol in symbols):
            self.post_process = f"{BPE_MARK} "
        elif any(symbol.startswith(PIECE_MARK) for symbol in symbols):
            self.post_process = "sentencepiece"

    def lines(self, text: Tokens) -> list[str]:
        """Each sentence's words, divided by single spaces, without the end marker."""
        from fairseq.data.data_utils import post_process

        words = self._symbols[np.asarray(text.tokens, dtype=np.int64)]
        sentences = np.split(words, np.cumsum(text.sizes, dtype=np.int64)[:-1])
        return [" ".join(post_process(" ".join(sentence[:-1]), self.post_process).split()) for sentence in sentences]
