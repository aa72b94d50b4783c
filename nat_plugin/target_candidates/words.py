"""Words of binarised or plain text as 64-bit numbers: equal words, equal numbers, however they are cut into subwords.

A word's number is a polynomial of its characters, so that it can be put together from those of its subwords without
ever making a string. Different words have the same number with a probability of about 2^-64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

BPE_MARK, PIECE_MARK = "@@", "▁"
_BASE = 0x9E3779B97F4A7C15  # odd
_WORD = 2**64


class Words(NamedTuple):
    """A text: ``keys`` [total] uint64, the numbers of its words, and ``sizes`` [N] int64, words of each sentence."""

    keys: np.ndarray
    sizes: np.ndarray


class Tokens(NamedTuple):
    """A binarised text: ``tokens`` [total], end markers included, and ``sizes`` [N], tokens of each sentence."""

    tokens: np.ndarray
    sizes: np.ndarray


def mix(keys: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 on uint64, of any shape: flips about half of the bits for any change of input."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(keys ^ (keys >> np.uint64(31)))


class SubwordMarks:
    """How the symbols of a dictionary are joined into words: by ``@@`` of BPE or ``▁`` of sentencepiece, if it has any.

    Args:
        symbols: of the dictionary, in order.
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        self.kind = "none"
        if any(symbol.endswith(BPE_MARK) for symbol in symbols):
            self.kind = "bpe"
        elif any(symbol.startswith(PIECE_MARK) for symbol in symbols):
            self.kind = "sentencepiece"
        surfaces = [self._surface(symbol) for symbol in symbols]
        self._lengths = np.array([len(surface) for surface in surfaces], dtype=np.int64)
        self._values = np.array([_polynomial(surface) for surface in surfaces], dtype=np.uint64)
        # of a token: does it begin a word, and does the next one?
        self._begins = np.ones(len(symbols), dtype=bool)
        self._ends = np.ones(len(symbols), dtype=bool)
        if self.kind == "bpe":
            self._ends[:] = [not symbol.endswith(BPE_MARK) for symbol in symbols]
        elif self.kind == "sentencepiece":
            self._begins[:] = [symbol.startswith(PIECE_MARK) for symbol in symbols]

    def _surface(self, symbol: str) -> str:
        if self.kind == "bpe":
            return symbol.removesuffix(BPE_MARK)
        return symbol.removeprefix(PIECE_MARK) if self.kind == "sentencepiece" else symbol

    def words(self, text: Tokens) -> Words:
        """The words of a text without its end markers, each sentence's last token."""
        sizes = np.asarray(text.sizes, dtype=np.int64)
        inside = np.ones(len(text.tokens), dtype=bool)
        inside[np.cumsum(sizes) - 1] = False
        tokens = np.asarray(text.tokens)[inside]
        sizes = sizes - 1
        sentences = np.repeat(np.arange(len(sizes)), sizes)
        starts = np.ones(len(tokens), dtype=bool)
        starts[1:] = self._begins[tokens[1:]] & self._ends[tokens[:-1]] | (sentences[1:] != sentences[:-1])
        first = np.flatnonzero(starts)
        if not len(first):
            return Words(np.zeros(0, np.uint64), np.zeros(len(sizes), np.int64))
        lengths = self._lengths[tokens]
        until = np.cumsum(lengths)  # characters up to and with each token
        of_word = np.cumsum(starts) - 1
        last = np.append(first[1:], len(tokens)) - 1
        after = until[last][of_word] - until
        keys = np.add.reduceat(self._values[tokens] * _powers(int(after.max()))[after], first)
        real = np.add.reduceat(lengths, first) > 0  # sentencepiece may say a space and then nothing
        counts = np.bincount(sentences[first[real]], minlength=len(sizes))
        return Words(mix(keys[real]), counts)


def words_of_lines(lines: Sequence[str]) -> Words:
    """The words of plain text, one sentence a line, words divided by white space."""
    split = [line.split() for line in lines]
    numbers: dict[str, int] = {}
    keys = [numbers.setdefault(word, _polynomial(word)) for words in split for word in words]
    return Words(mix(np.array(keys, dtype=np.uint64)), np.array([len(words) for words in split], dtype=np.int64))


def _polynomial(word: str) -> int:
    value = 0
    for character in word:
        value = (value * _BASE + ord(character) + 1) % _WORD
    return value


def _powers(most: int) -> np.ndarray:
    powers = np.full(most + 1, _BASE, dtype=np.uint64)
    powers[0] = 1
    return np.asarray(np.multiply.accumulate(powers))
