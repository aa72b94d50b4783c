"""CTC decoding by enumeration: every alignment of a small canvas, and what language models say of every output."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from pathlib import Path

import torch
from torch import Tensor

from nat_plugin.decoding.ngram_lm import BackoffModel, corpus_of_sentences, estimate, read_arpa, write_arpa

SYMBOLS = ["a", "b", "c", "<blank>"]
BLANK = 3
TEXT = ["a b a c", "b a a b", "c a b", "a", "b b c a", "a b c", "c c"]


def language_model(order: int, folder: Path) -> tuple[Path, BackoffModel]:
    """A model of a few sentences: its file, and its probabilities by our own reader."""
    path = folder / f"{order}gram.arpa"
    write_arpa(estimate(corpus_of_sentences(line.split() for line in TEXT), order), path)
    return path, read_arpa(path)


def canvas(slots: int, seed: int, sharpness: float = 2.0, size: int = len(SYMBOLS)) -> Tensor:
    """Log-probabilities [m, V] of one canvas."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(slots, size, generator=generator, dtype=torch.float64) * sharpness).log_softmax(-1)


def outputs(lprobs: Tensor) -> dict[tuple[int, ...], float]:
    """Every output of a canvas [m, V] and log p(y|x), the sum over its alignments."""
    table = lprobs.tolist()
    alignments: dict[tuple[int, ...], list[float]] = defaultdict(list)
    for path in itertools.product(range(lprobs.size(1)), repeat=lprobs.size(0)):
        merged = tuple(token for token, _ in itertools.groupby(path) if token != BLANK)
        alignments[merged].append(sum(table[slot][token] for slot, token in enumerate(path)))
    return {
        tokens: torch.tensor(scores, dtype=torch.float64).logsumexp(0).item() for tokens, scores in alignments.items()
    }


def scores(
    lprobs: Tensor, lm: BackoffModel | None = None, alpha: float = 0.0, beta: float = 0.0, form: str = "log"
) -> dict[tuple[int, ...], tuple[float, float, float]]:
    """Every output with its total (Gu & Kong 2021, Eq. 6), log p(y|x) and log p_LM(y), nats."""
    found = {}
    for tokens, am_score in outputs(lprobs).items():
        lm_score = lm.log_prob([SYMBOLS[token] for token in tokens]) if lm else 0.0
        bonus = len(tokens) if form == "linear" else math.log(max(1, len(tokens)))
        found[tokens] = (am_score + alpha * lm_score + beta * bonus, am_score, lm_score)
    return found
