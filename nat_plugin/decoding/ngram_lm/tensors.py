"""A back-off model as tensors: many contexts are asked for many words at once, on any device."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nat_plugin.decoding.ngram_lm.arpa import LN10, NgramTable, read_tables
from nat_plugin.errors import UserError


class _Order(NamedTuple):
    """N-grams of one order above 1, sorted by key = row of the context among the order below · W + last word."""

    keys: Tensor
    lprobs: Tensor
    backoffs: Tensor


class TensorLm:
    """An n-gram model over an output vocabulary; all scores are natural logarithms.

    A state is int64 [..., order - 1]: at place l-1 the row, among the n-grams of order l, of the last l words, or -1
    where the model has no such n-gram.

    Args:
        path: an ARPA file.
        symbols: [V] strings, the output vocabulary; one that the file lacks has the probability of ``<unk>``.

    Raises:
        UserError: the file cannot be read, or an n-gram is in it without its beginning.
    """

    def __init__(self, path: str | os.PathLike[str], symbols: Sequence[str]) -> None:
        words, tables = read_tables(path)
        ids = {word: number for number, word in enumerate(words)}
        for word in ("<unk>", "<s>", "</s>"):
            if word not in ids:
                raise UserError(f"{path} has no {word} among its single words: estimate it with scripts/train_lm.py.")
        self.order, self._size = len(tables), len(words)
        self._begin, self.end = ids["<s>"], ids["</s>"]
        self.word_of = torch.tensor([ids.get(symbol, ids["<unk>"]) for symbol in symbols])
        """[V] int64, each symbol's number among the model's words."""
        self._lprobs = torch.from_numpy(tables[0].lprobs * LN10)
        self._backoffs = torch.from_numpy(tables[0].backoffs * LN10)
        self._longer = self._sorted(tables, path)

    def to(self, device: torch.device) -> TensorLm:
        """Move to a device, in place."""
        self.word_of, self._lprobs, self._backoffs = (
            value.to(device) for value in (self.word_of, self._lprobs, self._backoffs)
        )
        self._longer = [_Order(*(value.to(device) for value in order)) for order in self._longer]
        return self

    def start(self, *shape: int) -> Tensor:
        """The state at the beginning of sentences: [*shape, order - 1]."""
        state = torch.full((*shape, self.order - 1), -1, dtype=torch.int64, device=self.word_of.device)
        state[..., :1] = self._begin
        return state

    def score(self, state: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """log p(word | context) and the states after it.

        Args:
            state: [..., order - 1].
            words: [...] int64, numbers of :attr:`word_of`, or :attr:`end`.

        Returns:
            [...] float32, and [..., order - 1].
        """
        lprobs = self._lprobs[words]
        rows = [words]
        for k, order in enumerate(self._longer, start=2):
            context = state[..., k - 2]
            row = _find(order.keys, context * self._size + words).masked_fill(context < 0, -1)
            backoffs = self._backoffs if k == 2 else self._longer[k - 3].backoffs
            backed_off = lprobs + backoffs[context.clamp(min=0)].masked_fill(context < 0, 0.0)
            lprobs = torch.where(row >= 0, order.lprobs[row.clamp(min=0)], backed_off)
            rows.append(row)
        return lprobs, torch.stack(rows[: self.order - 1], -1) if self.order > 1 else state

    def _sorted(self, tables: list[NgramTable], path: str | os.PathLike[str]) -> list[_Order]:
        orders: list[_Order] = []
        for k, table in enumerate(tables[1:], start=2):
            ids = torch.from_numpy(table.words)
            row = ids[:, 0]
            for place in range(1, k - 1):
                row = _find(orders[place - 1].keys, row * self._size + ids[:, place])
            if bool((row < 0).any()):
                raise UserError(f"{path} has a {k}-gram without its first {k - 1} words: estimate the model again.")
            keys, permutation = (row * self._size + ids[:, -1]).sort()
            values = (np.ascontiguousarray(column) * np.float32(LN10) for column in (table.lprobs, table.backoffs))
            orders.append(_Order(keys, *(torch.from_numpy(value)[permutation] for value in values)))
        return orders


def _find(keys: Tensor, wanted: Tensor) -> Tensor:
    """The place of each ``wanted`` value in sorted ``keys``, -1 where it is not there."""
    place = torch.searchsorted(keys, wanted).clamp(max=keys.numel() - 1)
    return torch.where(keys[place] == wanted, place, -1)
