"""Modified Kneser-Ney with dictionaries, one formula at a time: slow, and short enough to be checked by eye."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cache

from nat_plugin.decoding.ngram_lm.kneser_ney import FALLBACK_DISCOUNTS

Gram = tuple[str, ...]


class Reference:
    """p(word | context) of a small text.

    Args:
        sentences: lists of words.
        order: of the model.
    """

    def __init__(self, sentences: list[list[str]], order: int) -> None:
        padded = [["<s>", *sentence, "</s>"] for sentence in sentences]
        self.order = order
        self.words = sorted({word for sentence in padded for word in sentence} - {"<s>"} | {"<unk>"})
        raw: Counter[Gram] = Counter(
            tuple(sentence[first : first + k])
            for sentence in padded
            for k in range(1, order + 1)
            for first in range(len(sentence) - k + 1)
        )
        before = defaultdict(set)
        for gram in raw:
            before[gram[1:]].add(gram[0])
        self.adjusted = {
            gram: count if len(gram) == order or gram[0] == "<s>" else len(before[gram])
            for gram, count in raw.items()
            if gram != ("<s>",)
        }
        self.followers: defaultdict[Gram, list[Gram]] = defaultdict(list)
        for gram in self.adjusted:
            self.followers[gram[:-1]].append(gram)
        self.discounts = [self._discounts(k) for k in range(1, order + 1)]
        self.prob = cache(self._prob)

    def _discounts(self, k: int) -> tuple[float, ...]:
        t = Counter(count for gram, count in self.adjusted.items() if len(gram) == k)
        if not (t[1] and t[2] and t[3]):
            return FALLBACK_DISCOUNTS
        y = t[1] / (t[1] + 2 * t[2])
        found = (1 - 2 * y * t[2] / t[1], 2 - 3 * y * t[3] / t[2], 3 - 4 * y * t[4] / t[3])
        in_range = all(0 < discount <= j for j, discount in enumerate(found, start=1))
        return found if in_range else FALLBACK_DISCOUNTS

    def _discount(self, gram: Gram) -> float:
        return self.discounts[len(gram) - 1][min(self.adjusted[gram], 3) - 1]

    def _prob(self, word: str, context: Gram) -> float:
        context = context[len(context) - self.order + 1 :] if len(context) >= self.order else context
        lower = self.prob(word, context[1:]) if context else 1 / len(self.words)
        followers = self.followers.get(context)
        if not followers:
            return lower
        total = sum(self.adjusted[gram] for gram in followers)
        gram = (*context, word)
        own = self.adjusted[gram] - self._discount(gram) if gram in self.adjusted else 0.0
        return (own + sum(map(self._discount, followers)) * lower) / total
