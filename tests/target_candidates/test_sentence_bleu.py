"""Sentence BLEU of texts against texts is sacreBLEU's, one by one."""

from __future__ import annotations

import numpy as np
import pytest
import sacrebleu

from nat_plugin.target_candidates.sentence_bleu import sentence_bleu, signature


def texts(count: int, sentences: int, words: int, seed: int) -> list[list[str]]:
    """``count`` texts of few different words, so that n-grams are shared and repeated; some sentences are empty."""
    draw = np.random.default_rng(seed)
    return [
        [" ".join(f"w{draw.integers(words)}" for _ in range(draw.integers(0, 9))) for _ in range(sentences)]
        for _ in range(count)
    ]


@pytest.mark.parametrize(("words", "seed"), [(2, 0), (3, 1), (6, 2), (30, 3)])
def test_is_sacrebleus(words: int, seed: int) -> None:
    hypotheses, references = texts(3, 25, words, seed), texts(2, 25, words, seed + 10)
    found = sentence_bleu(hypotheses, references)
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
    text = ["a", "a b", "a b c", "a b c d e", "a a a a a a"]
    np.testing.assert_allclose(sentence_bleu([text], [text]), 100)


def test_there_may_be_no_sentences() -> None:
    assert sentence_bleu([[]] * 3, [[]]).shape == (0, 1, 3)


def test_the_signature_is_sacrebleus() -> None:
    assert signature() == f"nrefs:1|case:mixed|eff:yes|tok:none|smooth:exp|version:{sacrebleu.__version__}"
