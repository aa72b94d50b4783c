"""Sentence BLEU, all sentences at once, against sacreBLEU one by one."""

from __future__ import annotations

import numpy as np
import pytest
import sacrebleu

from nat_plugin.target_candidates import sentence_bleu as module
from nat_plugin.target_candidates.sentence_bleu import sentence_bleu
from nat_plugin.target_candidates.words import words_of_lines


def texts(count: int, sentences: int, words: int, seed: int) -> list[list[str]]:
    """``count`` texts of few different words, so that n-grams are shared and repeated; some sentences are empty."""
    draw = np.random.default_rng(seed)
    return [
        [" ".join(f"w{draw.integers(words)}" for _ in range(draw.integers(0, 9))) for _ in range(sentences)]
        for _ in range(count)
    ]


@pytest.mark.parametrize(("words", "seed"), [(2, 0), (3, 1), (6, 2), (30, 3)])
def test_is_sacrebleus(words: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SENTENCES_AT_ONCE", 7)
    hypotheses, references = texts(3, 25, words, seed), texts(2, 25, words, seed + 10)
    found = sentence_bleu([words_of_lines(text) for text in hypotheses], [words_of_lines(text) for text in references])
    assert found.shape == (25, 2, 3)
    for number in range(25):
        for place, reference in enumerate(references):
            for candidate, hypothesis in enumerate(hypotheses):
                if not reference[number]:  # which sacreBLEU does not take
                    assert found[number, place, candidate] == 0
                    continue
                score = sacrebleu.sentence_bleu(hypothesis[number], [reference[number]], tokenize="none").score
                assert found[number, place, candidate] == pytest.approx(score, abs=1e-9)


def test_a_sentence_against_itself_has_100_however_short() -> None:
    text = words_of_lines(["a", "a b", "a b c", "a b c d e", "a a a a a a"])
    np.testing.assert_allclose(sentence_bleu([text], [text]), 100)


def test_there_may_be_no_sentences() -> None:
    assert sentence_bleu([words_of_lines([])] * 3, [words_of_lines([])]).shape == (0, 1, 3)
