"""sacreBLEU's sentence BLEU, of many texts against many."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from sacrebleu.metrics import BLEU

# Words are divided by spaces already; the effective order, so that three right words are worth something.
_METRIC = BLEU(effective_order=True, tokenize="none")


def sentence_bleu(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> np.ndarray:
    """S(reference r, hypothesis k) of each sentence: [N, R, K] float64, 0 to 100; 0 where one of them is empty.

    Args:
        hypotheses, references: K and R texts of N sentences each, words divided by spaces.
    """
    shape = (len(hypotheses[0]), len(references), len(hypotheses))
    scores = [
        [[score(hypothesis, reference) for hypothesis in said] for reference in wanted]
        for said, wanted in zip(zip(*hypotheses, strict=True), zip(*references, strict=True), strict=True)
        for score in [cache(_score)]  # a sentence's candidates are often the same
    ]
    return np.array(scores, dtype=np.float64).reshape(shape)


def _score(hypothesis: str, reference: str) -> float:
    if not hypothesis or not reference:  # which sacreBLEU does not take
        return 0.0
    if hypothesis == reference:  # as it is by definition, without counting
        return 100.0
    return float(_METRIC.sentence_score(hypothesis, [reference]).score)


def signature() -> str:
    """sacreBLEU's, with its version."""
    _METRIC.sentence_score("a", ["a"])  # it knows the number of references from the last sentence
    return str(_METRIC.get_signature())
