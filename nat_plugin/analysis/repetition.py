"""Consecutive repeated words: the visible sign that a model mixed several translations into one."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Repetitions:
    """Counts over a set of sentences.

    A token is *repeated* when it equals the token just before it in the same sentence: "a a a b" holds two. Tokens are
    compared as written, case included. They should be words, with subwords joined again: a word of two equal subwords
    is no repetition, and the papers count words.
    """

    sentences: int
    tokens: int
    repeated: int

    @property
    def share(self) -> float:
        """Repeated tokens / all tokens, 0 to 1: Table 9 of Ghazvininejad et al. 2020, divided by 100. 0 without any."""
        return self.repeated / self.tokens if self.tokens else 0.0

    @property
    def per_sentence(self) -> float:
        """Mean number of repeated tokens a sentence: Table 3 of Guo et al. 2020. 0 without any."""
        return self.repeated / self.sentences if self.sentences else 0.0


def repeated_tokens(tokens: Sequence[str]) -> int:
    """How many of ``tokens`` equal the one before."""
    return sum(token == before for before, token in itertools.pairwise(tokens))


def count_repetitions(sentences: Iterable[Sequence[str]]) -> Repetitions:
    """Count over ``sentences``, each a sequence of words."""
    number = tokens = repeated = 0
    for sentence in sentences:
        number += 1
        tokens += len(sentence)
        repeated += repeated_tokens(sentence)
    return Repetitions(number, tokens, repeated)
