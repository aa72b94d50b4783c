"""Words dropped or replaced: brute force over single sentences, whatever the batch, the padding and its side."""

from __future__ import annotations

from collections import Counter
from decimal import ROUND_HALF_UP, Decimal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nat_plugin.analysis.word_noise import (
    WORD_NOISES,
    WordNoise,
    at_words,
    choose_words,
    disturb_words,
    disturbed_counts,
)
from nat_plugin.canvas.random import sentence_hash

PAD, EOS = 1, 2
VOCABULARY = torch.tensor([9, 4, 5, 6, 7])  # in any order; the sentences also have words that it lacks
sentences_of = st.lists(st.lists(st.integers(3, 12), min_size=1, max_size=7), min_size=1, max_size=5)


def padded(sentences: list[list[int]], more: int = 0, left: bool = False) -> torch.Tensor:
    """With an end marker each."""
    width = max(map(len, sentences)) + 1 + more
    rows = []
    for sentence in sentences:
        padding = [PAD] * (width - len(sentence) - 1)
        rows.append([*padding, *sentence, EOS] if left else [*sentence, EOS, *padding])
    return torch.tensor(rows)


def disturb(tokens: torch.Tensor, rate: float, noise: WordNoise, seed: int = 1, draw: int = 0) -> list[list[int]]:
    """What is left of each sentence, its end marker included."""
    real = tokens.ne(PAD)
    changed, kept = disturb_words(
        tokens,
        real & tokens.ne(EOS),
        rate,
        noise,
        vocabulary=VOCABULARY,
        seed=seed,
        draw=draw,
        sentence_ids=sentence_hash(tokens, real),
    )
    return [row[wanted].tolist() for row, wanted in zip(changed, kept & real, strict=True)]


@given(length=st.integers(0, 300), percent=st.integers(0, 100))
def test_the_number_of_words_is_rounded_as_on_paper(length: int, percent: int) -> None:
    exact = (Decimal(percent) / 100 * length).quantize(Decimal(1), ROUND_HALF_UP)
    assert disturbed_counts(torch.tensor([length]), percent / 100).item() == exact


@given(sentences=sentences_of, rate=st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0]), noise=st.sampled_from(WORD_NOISES))
def test_what_happens_to_each_sentence(sentences: list[list[int]], rate: float, noise: WordNoise) -> None:
    for sentence, found in zip(sentences, disturb(padded(sentences), rate, noise), strict=True):
        count = int(disturbed_counts(torch.tensor(len(sentence)), rate))
        *words, last = found
        assert last == EOS
        assert 1 <= len(words) <= len(sentence)
        if noise == "drop":
            assert len(words) == len(sentence) - min(count, len(sentence) - 1)
        elif noise == "replace":
            changed = [new for old, new in zip(sentence, words, strict=True) if old != new]
            assert len(changed) == count  # another word each time, never the same
            assert set(changed) <= set(VOCABULARY.tolist())
        else:
            assert len(words) >= len(sentence) - count
        if noise == "drop" and count < len(sentence):
            rest = iter(sentence)
            assert all(word in rest for word in words)  # in their order


@given(sentences=sentences_of, more=st.integers(0, 3), noise=st.sampled_from(WORD_NOISES), seed=st.integers(0, 5))
def test_neither_batch_nor_padding_changes_a_sentence(
    sentences: list[list[int]], more: int, noise: WordNoise, seed: int
) -> None:
    together = disturb(padded(sentences, more), 0.5, noise, seed)
    assert together == disturb(padded(sentences, left=True), 0.5, noise, seed)
    assert together == [disturb(padded([sentence]), 0.5, noise, seed)[0] for sentence in sentences]


@given(sentences=sentences_of, rates=st.tuples(st.floats(0, 1), st.floats(0, 1)), seed=st.integers(0, 5))
def test_a_higher_rate_has_the_words_of_a_lower_one(
    sentences: list[list[int]], rates: tuple[float, float], seed: int
) -> None:
    tokens = padded(sentences)
    words = tokens.gt(EOS)
    ids = sentence_hash(tokens, tokens.ne(PAD))
    low, high = (choose_words(words, rate, seed=seed, draw=0, sentence_ids=ids) for rate in sorted(rates))
    assert bool((high | ~low).all())
    assert not (high & ~words).any()


def test_draws_differ_and_are_even() -> None:
    count = 2000
    tokens = padded([[3, 8, 8, 4]]).expand(count, -1)

    def drawn(noise: WordNoise, draw: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        ids = torch.arange(count)
        words = tokens.ne(EOS)
        return disturb_words(tokens, words, 0.25, noise, vocabulary=VOCABULARY, seed=1, draw=draw, sentence_ids=ids)

    changed, kept = drawn("replace")
    assert kept.all()
    by_place = (changed != tokens).sum(0).tolist()
    assert all(420 < number < 580 for number in by_place[:4])  # 500 each, standard deviation 19
    instead_of_4 = Counter(changed[changed[:, 3] != 4, 3].tolist())
    assert set(instead_of_4) == {5, 6, 7, 9}  # 4 itself is never taken
    assert all(80 < number < 175 for number in instead_of_4.values())  # about 125 each
    _, kept = drawn("drop_or_replace")
    assert 900 < int((~kept).sum()) < 1100
    assert int((changed != drawn("replace", draw=1)[0]).any(1).sum()) > count * 0.9
    assert torch.equal(changed, drawn("replace")[0])


@pytest.mark.parametrize("left", [False, True])
def test_values_go_to_their_words(left: bool) -> None:
    words = padded([[5, 6, 7], [8]], left=left).gt(EOS)
    values = torch.arange(8).view(2, 4)
    found = at_words(values, words)
    assert [row[there].tolist() for row, there in zip(found, words, strict=True)] == [[0, 1, 2], [4]]
    assert torch.equal(at_words(torch.stack([values, values], 2), words)[..., 1], found)
