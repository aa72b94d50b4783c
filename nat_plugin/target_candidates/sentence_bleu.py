"""Sentence BLEU of many texts against many, sentence by sentence: sacreBLEU's, all sentences at once.

sacreBLEU's ``sentence_bleu`` (smoothing ``exp``, effective order, tokenisation ``none``) takes 0.1 ms a pair; K
candidates of a sentence make K² pairs. Here n-grams are numbers, and are sorted and counted for thousands of sentences
together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from nat_plugin.target_candidates.words import Words, mix

SIGNATURE = "sentence BLEU|eff:yes|tok:none|smooth:exp|case:mixed"
SENTENCES_AT_ONCE = 5000
_ORDERS = 4


def sentence_bleu(hypotheses: Sequence[Words], references: Sequence[Words]) -> np.ndarray:
    """S(reference r, hypothesis k) of each sentence: [N, R, K] float64, 0 to 100.

    Args:
        hypotheses, references: K and R texts of N sentences each.
    """
    count = len(hypotheses[0].sizes)
    if not count:
        return np.zeros((0, len(references), len(hypotheses)))
    parts = [
        _bleu([_cut(text, *piece) for text in hypotheses], [_cut(text, *piece) for text in references])
        for piece in pieces(count)
    ]
    return np.concatenate(parts)


def pieces(sentences: int, at_once: int = SENTENCES_AT_ONCE) -> Iterator[tuple[int, int]]:
    """Ranges of sentences, first and end of each."""
    for first in range(0, sentences, at_once):
        yield first, min(sentences, first + at_once)


def _cut(text: Words, first: int, end: int) -> Words:
    before = int(text.sizes[:first].sum())
    sizes = text.sizes[first:end]
    return Words(text.keys[before : before + int(sizes.sum())], sizes)


def _bleu(hypotheses: Sequence[Words], references: Sequence[Words]) -> np.ndarray:
    texts = [*hypotheses, *references]
    said = np.stack([text.sizes for text in hypotheses], 1)[:, None, :]
    wanted = np.stack([text.sizes for text in references], 1)[:, :, None]
    log_precisions = np.zeros((len(said), len(references), len(hypotheses)))
    matches = np.zeros(log_precisions.shape, dtype=bool)
    smoothing = np.ones(log_precisions.shape)
    grams = [text.keys for text in texts]
    for order in range(1, _ORDERS + 1):
        if order > 1:
            grams = [_longer(gram, text.keys, order) for gram, text in zip(grams, texts, strict=True)]
        correct = _matches(grams, texts, order, len(hypotheses))
        total = np.maximum(said - order + 1, 0)
        missed = (correct == 0) & (total > 0)
        smoothing = np.where(missed, 2 * smoothing, smoothing)
        precisions = np.where(missed, 1 / smoothing, correct) / np.maximum(total, 1)
        log_precisions += np.where(total > 0, np.log(100 * np.where(total > 0, precisions, 1)), 0)
        matches |= correct > 0
    brevity = np.minimum(0, 1 - wanted / np.maximum(said, 1))
    bleu = np.exp(brevity + log_precisions / np.clip(said, 1, _ORDERS))
    return np.where(matches, bleu, 0.0)


def _longer(grams: np.ndarray, words: np.ndarray, order: int) -> np.ndarray:
    """The n-grams that begin at each word, from those that are one word shorter; some reach into the next sentence."""
    return mix(grams[: max(0, len(words) - order + 1)] * np.uint64(0xD1342543DE82EF95) + words[order - 1 :])


def _matches(grams: Sequence[np.ndarray], texts: Sequence[Words], order: int, hypotheses: int) -> np.ndarray:
    """How many n-grams a hypothesis shares with a reference, each as often as both have it: [N, R, K] int64."""
    count = len(texts[0].sizes)
    keys, owners, sentences = [], [], []
    for number, (gram, text) in enumerate(zip(grams, texts, strict=True)):
        sentence = np.repeat(np.arange(count), text.sizes)
        whole = np.flatnonzero(sentence[: len(gram)] == sentence[order - 1 :])
        sentence = sentence[whole]
        keys.append(mix(gram[whole] + mix(sentence.astype(np.uint64))))  # equal n-grams of two sentences differ
        owners.append(np.full(len(whole), number))
        sentences.append(sentence)
    different, places = np.unique(np.concatenate(keys), return_inverse=True)
    table = np.bincount(places * len(texts) + np.concatenate(owners), minlength=len(different) * len(texts))
    counts = table.reshape(len(different), len(texts)).T.astype(np.int32)
    of = np.empty(len(different), dtype=np.int64)
    of[places] = np.concatenate(sentences)
    shared = [
        [np.bincount(of, np.minimum(counts[k], reference), minlength=count) for k in range(hypotheses)]
        for reference in counts[hypotheses:]
    ]
    return np.asarray(shared).transpose(2, 0, 1).astype(np.int64)
