"""Sentences and disturbed copies of them: data that few dependencies are lost of (Huang et al. 2022, appendix B)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch

from nat_plugin.analysis.word_noise import disturb_words
from nat_plugin.errors import UserError
from nat_plugin.padding import length_mask

Rule = Literal["A", "B"]
RULES: tuple[Rule, ...] = get_args(Rule)
REPLACED = 0.5
DROPPED = 0.1
_AT_ONCE = 1000  # sentences


@dataclass
class Disturbed:
    """The sources made of one split's sentences.

    Attributes:
        lines: tokens joined by spaces, in the order of the split; none is empty.
        counts: ``sentences``, ``tokens`` of the originals, and how many were ``replaced`` and ``dropped``.
    """

    lines: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class Disturber:
    """Synthetic A: half of the tokens of a sentence become others. Synthetic B: then a tenth is left out.

    How many are replaced or dropped is rounded, halves upwards; which, and by what, depends on the seed, the split and
    the place of the sentence in it alone. B's sources are A's without some of their tokens.

    Args:
        vocabulary: the tokens that may stand in for others, each as likely; the token itself is not taken.
        seed: another one gives other data.

    Raises:
        UserError: there is nothing to choose from.
    """

    def __init__(self, vocabulary: Sequence[str], rule: Rule, seed: int) -> None:
        if len(set(vocabulary)) < 2:
            raise UserError("the training text has fewer than two different tokens: there is nothing to replace with.")
        self._vocabulary = sorted(set(vocabulary))
        self._rule, self._seed = rule, seed

    def __call__(self, lines: Sequence[str], split: int) -> Disturbed:
        """Disturb every line.

        Args:
            lines: tokens joined by spaces.
            split: a number for the split, so that its draws are its own.
        """
        made = Disturbed()
        for start in range(0, len(lines), _AT_ONCE):
            self._add(made, [line.split() for line in lines[start : start + _AT_ONCE]], start, split)
        return made

    def _add(self, made: Disturbed, sentences: Sequence[Sequence[str]], start: int, split: int) -> None:
        symbols = list(self._vocabulary)
        known = {symbol: number for number, symbol in enumerate(symbols)}
        for sentence in sentences:  # words that the training text lacks may be replaced, but replace none
            for symbol in sentence:
                if symbol not in known:
                    known[symbol] = len(symbols)
                    symbols.append(symbol)
        lengths = torch.tensor([len(sentence) for sentence in sentences])
        tokens = torch.zeros(len(sentences), max(1, int(lengths.max())), dtype=torch.int64)
        for row, sentence in enumerate(sentences):
            tokens[row, : len(sentence)] = torch.tensor([known[symbol] for symbol in sentence], dtype=torch.int64)
        words = length_mask(lengths, tokens.size(1))
        ids = torch.arange(start, start + len(sentences))
        vocabulary = torch.arange(len(self._vocabulary))
        said, _ = disturb_words(
            tokens, words, REPLACED, "replace",
            vocabulary=vocabulary, seed=self._seed, draw=2 * split, sentence_ids=ids,
        )  # fmt: skip
        kept = torch.ones_like(words)
        if self._rule == "B":
            # a draw of its own: the same one would drop replaced tokens alone
            said, kept = disturb_words(
                said, words, DROPPED, "drop",
                vocabulary=vocabulary, seed=self._seed, draw=2 * split + 1, sentence_ids=ids,
            )  # fmt: skip
        for row, keep in zip(said, kept & words, strict=True):
            made.lines.append(" ".join(symbols[token] for token in row[keep].tolist()))
        made.counts += Counter(
            sentences=len(sentences),
            tokens=int(lengths.sum()),
            replaced=int((said.ne(tokens) & words).sum()),
            dropped=int((words & ~kept).sum()),
        )
