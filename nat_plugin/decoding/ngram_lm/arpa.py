"""The ARPA format of back-off language models: writing, reading, querying."""

from __future__ import annotations

import gzip
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from nat_plugin.decoding.ngram_lm.kneser_ney import NgramModel, NgramOrder
from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write

LN10 = math.log(10.0)
_LINES_AT_ONCE = 100_000


def write_arpa(
    model: NgramModel, path: str | os.PathLike[str], progress: Callable[[int], None] = lambda lines: None
) -> None:
    """Write ``model`` as KenLM and SRILM read it, atomically. Probabilities are in base 10, as the format has them.

    Args:
        progress: called with the number of n-grams written since the last call.
    """
    highest = len(model.orders)
    with atomic_write(path) as handle:
        handle.write("\\data\\\n")
        for k, order in enumerate(model.orders, start=1):
            handle.write(f"ngram {k}={len(order.words)}\n")
        for k, order in enumerate(model.orders, start=1):
            handle.write(f"\n\\{k}-grams:\n")
            for first in range(0, len(order.words), _LINES_AT_ONCE):
                chosen = slice(first, first + _LINES_AT_ONCE)
                part = NgramOrder(order.words[chosen], order.probability[chosen], order.backoff[chosen])
                handle.writelines(_lines(model.words, part, with_backoff=k < highest))
                progress(len(part.words))
        handle.write("\n\\end\\\n")


def _lines(words: Sequence[str], order: NgramOrder, with_backoff: bool) -> Iterator[str]:
    # <s> is never predicted, and its line carries 0 as lmplz's does.
    lprobs = np.log10(order.probability, out=np.zeros(len(order.probability)), where=order.probability > 0)
    backoffs = np.log10(order.backoff)
    for ids, lprob, backoff in zip(order.words.tolist(), lprobs.tolist(), backoffs.tolist(), strict=True):
        text = " ".join([words[index] for index in ids])
        yield f"{lprob:.7g}\t{text}\t{backoff:.7g}\n" if with_backoff else f"{lprob:.7g}\t{text}\n"


@dataclass(frozen=True)
class BackoffModel:
    """A model in memory, for small texts and for checks; decoding queries the file through KenLM's code."""

    orders: list[dict[tuple[str, ...], tuple[float, float]]]
    """One entry an order: n-gram → (log p, log back-off), base 10."""

    def log10_prob(self, word: str, context: Sequence[str]) -> float:
        """log10 p(word | context); an unknown word has that of ``<unk>``, and ends every context."""
        known = self.orders[0]
        word = word if (word,) in known else "<unk>"
        nearest = context[max(0, len(context) - len(self.orders) + 1) :]
        history = tuple(entry if (entry,) in known else "<unk>" for entry in nearest)
        backoff = 0.0
        while True:
            found = self.orders[len(history)].get((*history, word))
            if found is not None:
                return backoff + found[0]
            backoff += self.orders[len(history) - 1].get(history, (0.0, 0.0))[1]
            history = history[1:]

    def log_prob(self, sentence: Sequence[str]) -> float:
        """Natural log of the probability of a sentence and its end."""
        words = ["<s>", *sentence, "</s>"]
        return LN10 * sum(self.log10_prob(words[place], words[:place]) for place in range(1, len(words)))


def read_arpa(path: str | os.PathLike[str]) -> BackoffModel:
    """Read a whole ARPA file (``.gz`` too).

    Raises:
        UserError: there is no such file, or it is damaged; the message has the line.
    """
    reader = _Reader(path)
    orders = [dict(reader.section(k)) for k in range(1, len(reader.sizes) + 1)]
    for k, order in enumerate(orders, start=1):
        reader.check_size(k, len(order))
    return BackoffModel(orders)


class NgramTable(NamedTuple):
    """The n-grams of one order k, as numbers.

    Attributes:
        words: [N, k] int64, ids into the list of single words.
        lprobs: [N] float32, log10 p(last word | the others).
        backoffs: [N] float32, log10; 0 where there is none.
    """

    words: NDArray[np.int64]
    lprobs: NDArray[np.float32]
    backoffs: NDArray[np.float32]


def read_tables(path: str | os.PathLike[str]) -> tuple[list[str], list[NgramTable]]:
    """Read a whole ARPA file into arrays: its single words, and one table an order, the first in the words' order.

    Raises:
        UserError: as :func:`read_arpa`; also where a longer n-gram has a word that is no single word of the file.
    """
    reader = _Reader(path)
    ids: dict[str, int] = {}
    tables = []
    for k in range(1, len(reader.sizes) + 1):
        numbers: list[int] = []
        values: list[tuple[float, float]] = []
        for gram, value in reader.section(k):
            try:
                numbers += [ids.setdefault(word, len(ids)) if k == 1 else ids[word] for word in gram]
            except KeyError as error:
                reader.refuse(f"has the word {error} that is not among its single words")
            values.append(value)
        reader.check_size(k, len(values))
        lprobs, backoffs = np.array(values, dtype=np.float32).reshape(-1, 2).T
        tables.append(NgramTable(np.array(numbers, dtype=np.int64).reshape(-1, k), lprobs, backoffs))
    return list(ids), tables


def read_vocabulary(path: str | os.PathLike[str]) -> set[str]:
    """The words of an ARPA file, reading no further than its single words.

    Raises:
        UserError: as :func:`read_arpa`.
    """
    return {words[0] for words, _ in _Reader(path).section(1)}


class _Reader:
    """An ARPA file, from its header through its sections in order."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.number = 0
        self._lines = self._open()
        if next((line for line in self._lines if line), "") != "\\data\\":
            self.refuse("does not begin with \\data\\")
        self.sizes: list[int] = []
        for line in self._lines:
            if not line:
                break
            name, equals, size = line.partition("=")
            if not equals or name != f"ngram {len(self.sizes) + 1}" or not size.isdigit():
                self.refuse(f"has no line 'ngram {len(self.sizes) + 1}=…'")
            self.sizes.append(int(size))
        if not self.sizes:
            self.refuse("names no orders")

    def section(self, k: int) -> Iterator[tuple[tuple[str, ...], tuple[float, float]]]:
        """The n-grams of order k; sections have to be read one after the other."""
        if next((line for line in self._lines if line), "") != f"\\{k}-grams:":
            self.refuse(f"has no section \\{k}-grams:")
        for line in self._lines:
            if not line:
                return
            lprob, *rest = line.replace("\t", " ").split(" ")
            try:
                yield tuple(rest[:k]), (float(lprob), float(rest[k]) if len(rest) > k else 0.0)
            except ValueError:
                self.refuse(f"has no {k}-gram with its probability there")

    def _open(self) -> Iterator[str]:
        try:
            handle: IO[str]
            opener = gzip.open if self.path.suffix == ".gz" else open
            with opener(self.path, "rt", encoding="utf-8", newline="\n") as handle:
                for line in handle:
                    self.number += 1
                    yield line.strip(" \r\n\t")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{self.path} cannot be read as a language model in ARPA format ({error}): name a file that "
                "scripts/train_lm.py or lmplz wrote."
            ) from error

    def check_size(self, k: int, size: int) -> None:
        """Compare the n-grams of order k with what the header states."""
        if size != self.sizes[k - 1]:
            raise UserError(
                f"{self.path} states {self.sizes[k - 1]} {k}-grams but holds {size}, it is cut off or damaged: make it "
                "anew."
            )

    def refuse(self, what: str) -> NoReturn:
        """Say what is wrong with the current line."""
        raise UserError(
            f"{self.path}:{self.number} {what}: it is no language model in ARPA format, or damaged; make one with "
            "scripts/train_lm.py."
        )
