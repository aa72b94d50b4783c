"""Counting the n-grams of a corpus, all orders at once, by sorting."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nat_plugin.errors import UserError

UNK, BOS, EOS = 0, 1, 2
SYMBOLS = ("<unk>", "<s>", "</s>")
Ints = NDArray[np.int64]


class Corpus(NamedTuple):
    """Sentences as one array.

    Attributes:
        words: [V] strings; the first three are ``<unk>``, ``<s>`` and ``</s>``.
        tokens: [P] int64, ids into ``words``: every sentence with ``<s>`` before it and ``</s>`` behind it.
        places: [P] int64, each token's place in its sentence, 0 for ``<s>``.
    """

    words: list[str]
    tokens: Ints
    places: Ints

    @property
    def sentences(self) -> int:
        return int((self.places == 0).sum())


class NgramCounts(NamedTuple):
    """The different n-grams of one order k.

    Attributes:
        words: [N, k] int64.
        raw: [N] int64, how often each stands in the corpus.
        context: [N] int64, row of its first k-1 words among the n-grams of order k-1.
        suffix: [N] int64, row of its last k-1 words there.
        begins: [N] bool, whether its first word is ``<s>``.
    """

    words: Ints
    raw: Ints
    context: Ints
    suffix: Ints
    begins: NDArray[np.bool_]


def corpus_of_sentences(sentences: Iterable[Iterable[str]]) -> Corpus:
    """Number the words in the order of their appearance; sentences without words are left out.

    Raises:
        UserError: a sentence holds ``<s>`` or ``</s>`` as a word, or there is no sentence at all.
    """
    known = {word: number for number, word in enumerate(SYMBOLS)}
    tokens: list[int] = []
    lengths: list[int] = []
    for number, sentence in enumerate(sentences, start=1):
        ids = [known.setdefault(word, len(known)) for word in sentence]
        if not ids:
            continue
        if BOS in ids or EOS in ids:
            raise UserError(f"sentence {number} holds <s> or </s> as a word: take it out, every sentence gets its own.")
        tokens += [BOS, *ids, EOS]
        lengths.append(len(ids) + 2)
    if not lengths:
        raise UserError("there are no sentences to estimate a language model from: check the input.")
    return Corpus(list(known), np.array(tokens, dtype=np.int64), places_of(np.array(lengths, dtype=np.int64)))


def places_of(lengths: Ints) -> Ints:
    """Each token's place in its sentence, for sentences of these lengths one after the other."""
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    places: Ints = np.arange(int(lengths.sum()), dtype=np.int64) - starts
    return places


def count_ngrams(corpus: Corpus, order: int) -> list[NgramCounts]:
    """The n-grams of orders 1 to ``order``; those of order 1 are all of ``corpus.words``, seen or not.

    No n-gram crosses the border of a sentence. An n-gram is found by sorting pairs (row of its first k-1 words, last
    word), so that no order needs more than 64 bits.

    Raises:
        UserError: the longest sentence is shorter than an n-gram of the highest order.
    """
    tokens, places, size = corpus.tokens, corpus.places, len(corpus.words)
    longest = int(places.max()) + 1
    if order > longest:
        raise UserError(
            f"the longest sentence has {longest} tokens with <s> and </s>, too few for one {order}-gram: lower --order "
            f"to {longest}, or give more text."
        )
    all_words = np.arange(size, dtype=np.int64)
    none = np.zeros(size, dtype=np.int64)
    tables = [
        NgramCounts(all_words[:, None], np.bincount(tokens, minlength=size), none, none, all_words == BOS),
    ]
    rows = tokens  # row, among those of order k, of the n-gram that ends at each place
    for k in range(2, order + 1):
        ends = np.flatnonzero(places >= k - 1)
        keys = rows[ends - 1] * size + tokens[ends]
        _, first, inverse, raw = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        last = ends[first]
        tables.append(
            NgramCounts(
                words=tokens[last[:, None] + np.arange(1 - k, 1)],
                raw=raw,
                context=rows[last - 1],
                suffix=rows[last],
                begins=places[last] == k - 1,
            )
        )
        rows = np.zeros_like(tokens)
        rows[ends] = inverse
    return tables
