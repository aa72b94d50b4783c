"""Interpolated modified Kneser-Ney smoothing (Chen & Goodman 1998, §4.1.6), as Heafield et al. 2013 estimate it.

With a(g) the adjusted count of an n-gram g = (c, w): its raw count when g is of the highest order or begins with
``<s>``, else the number of different words before it,

    p(w | c) = (a(c w) - D(a(c w))) / Σ_v a(c v)  +  γ(c) · p(w | c without its first word)
    γ(c)     = Σ_j D_j · |{v: a(c v) = j}| / Σ_v a(c v),        j = 1, 2, 3 or more
    D_j      = j - (j+1) · t_1 / (t_1 + 2 t_2) · t_{j+1} / t_j,  t_j: n-grams of that order with adjusted count j

down to the uniform distribution over all words, ``</s>`` and ``<unk>``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nat_plugin.decoding.ngram_lm.counting import BOS, Corpus, Ints, NgramCounts, count_ngrams
from nat_plugin.errors import UserError

Floats = NDArray[np.float64]

FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
"""D_1, D_2 and D_3+ where the counts of a small text give none: lmplz's ``--discount_fallback``."""


class NgramOrder(NamedTuple):
    """The n-grams of one order k that the model holds.

    Attributes:
        words: [N, k] int64.
        probability: [N], p(last word | the others); 0 for ``<s>``, which is never predicted.
        backoff: [N], γ of the whole n-gram as a context; 1 where it is none, or in the highest order.
    """

    words: Ints
    probability: Floats
    backoff: Floats


class NgramModel(NamedTuple):
    """A back-off model.

    Attributes:
        words: [V] strings.
        orders: one entry an order, from 1.
        discounts: (D_1, D_2, D_3+) of each order.
        fallbacks: the orders whose counts gave no discounts.
    """

    words: list[str]
    orders: list[NgramOrder]
    discounts: list[tuple[float, float, float]]
    fallbacks: list[int]


def estimate(corpus: Corpus, order: int, prune: Sequence[int] = ()) -> NgramModel:
    """Estimate a model of the given order.

    Args:
        order: of the longest n-grams, at least 1.
        prune: for orders 1, 2, …: n-grams with a raw count up to this many are left out, and their probability goes
            to the shorter context; the last value holds for all higher orders. Empty: nothing is left out.

    Raises:
        UserError: an order below 1; thresholds that lmplz would refuse too (negative, decreasing, not 0 for single
            words, more than orders); nothing of the highest order is left.
    """
    if order < 1:
        raise UserError(f"--order must be at least 1, not {order}: 3 and 4 are usual.")
    thresholds = _thresholds(order, prune)
    tables = count_ngrams(corpus, order)
    uniform = np.full(1, 1.0 / (len(corpus.words) - 1))  # every word but <s>
    lower, lower_backoff = uniform, np.ones(1)
    orders: list[NgramOrder] = []
    discounts: list[tuple[float, float, float]] = []
    fallbacks = []
    masks = [table.raw > threshold for table, threshold in zip(tables, thresholds, strict=True)]
    masks[0][:] = True
    if not masks[-1].any():
        raise UserError(f"--prune {' '.join(map(str, prune))} leaves no {order}-gram: prune less, or lower --order.")
    for k, table in enumerate(tables, start=1):
        adjusted = adjusted_counts(table, tables[k] if k < order else None)
        found = discounts_of(adjusted)
        if found is None:
            fallbacks.append(k)
        discounts.append(found or FALLBACK_DISCOUNTS)
        probability, gamma = _smooth(table, adjusted, masks[k - 1], discounts[-1], lower)
        if k == 1:
            probability[BOS] = 0.0
        else:
            orders.append(_kept(tables[k - 2], masks[k - 2], lower, gamma))
        lower, lower_backoff = probability, np.ones(len(probability))
    orders.append(_kept(tables[-1], masks[-1], lower, lower_backoff))
    return NgramModel(corpus.words, orders, discounts, fallbacks)


def adjusted_counts(table: NgramCounts, longer: NgramCounts | None) -> Ints:
    """a(g) of every n-gram of one order.

    Args:
        longer: the n-grams of the next order; None where ``table`` is of the highest.
    """
    if longer is None:
        adjusted = table.raw.copy()
    else:
        different_before = np.bincount(longer.suffix, minlength=len(table.raw))
        adjusted = np.where(table.begins, table.raw, different_before)
    if table.words.shape[1] == 1:
        adjusted[BOS] = 0
    return adjusted


def discounts_of(adjusted: Ints) -> tuple[float, float, float] | None:
    """D_1, D_2 and D_3+ from the counts of adjusted counts; None where they give none above 0 and up to j."""
    t = [int((adjusted == j).sum()) for j in range(5)]
    if 0 in t[1:4]:
        return None
    y = t[1] / (t[1] + 2 * t[2])
    found = tuple(j - (j + 1) * y * t[j + 1] / t[j] for j in (1, 2, 3))
    if not all(0 < discount <= j for j, discount in enumerate(found, start=1)):
        return None
    return found[0], found[1], found[2]


def _smooth(
    table: NgramCounts, adjusted: Ints, kept: NDArray[np.bool_], discounts: tuple[float, float, float], lower: Floats
) -> tuple[Floats, Floats]:
    """p of every n-gram of one order, and γ of every n-gram of the order below (1 for those that are no context)."""
    discount = np.array([0.0, *discounts])[np.minimum(adjusted, 3)]
    contexts = len(lower)
    total = np.bincount(table.context, weights=adjusted, minlength=contexts)
    freed = np.bincount(table.context, weights=np.where(kept, discount, adjusted), minlength=contexts)
    gamma = np.divide(freed, total, out=np.ones(contexts), where=total > 0)
    own = np.where(kept, adjusted - discount, 0.0) / total[table.context]
    return own + gamma[table.context] * lower[table.suffix], gamma


def _kept(table: NgramCounts, kept: NDArray[np.bool_], probability: Floats, backoff: Floats) -> NgramOrder:
    return NgramOrder(table.words[kept], probability[kept], backoff[kept])


def _thresholds(order: int, prune: Sequence[int]) -> list[int]:
    given = " ".join(map(str, prune))
    if len(prune) > order:
        raise UserError(f"--prune {given} has {len(prune)} values for {order} orders: give at most one an order.")
    if any(value < 0 for value in prune) or list(prune) != sorted(prune):
        raise UserError(f"--prune {given} must not be negative or decrease from one order to the next.")
    if prune and prune[0] != 0:
        raise UserError(f"--prune {given} would leave out single words: begin with 0.")
    values = list(prune) or [0]
    return values + [values[-1]] * (order - len(values))
