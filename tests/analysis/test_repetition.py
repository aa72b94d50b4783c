"""nat_plugin/analysis/repetition.py."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nat_plugin.analysis.repetition import Repetitions, count_repetitions, repeated_tokens

SENTENCES = st.lists(st.lists(st.sampled_from("abAB")))


@pytest.mark.parametrize(
    ("sentence", "repeated"),
    [
        ("", 0),
        ("a", 0),
        ("a b a b", 0),  # not next to each other
        ("a a", 1),
        ("a a a b", 2),
        ("a a b b a", 2),
        ("A a", 0),  # case counts
    ],
)
def test_counts_tokens_equal_to_the_one_before(sentence: str, repeated: int) -> None:
    assert repeated_tokens(sentence.split()) == repeated


def test_shares_by_hand() -> None:
    counts = count_repetitions([["the", "the", "cat"], [], ["sat", "sat", "sat", "down", "."]])
    assert counts == Repetitions(sentences=3, tokens=8, repeated=3)
    assert counts.share == 3 / 8
    assert counts.per_sentence == 1.0


def test_a_sentence_does_not_continue_the_one_before() -> None:
    assert count_repetitions([["a"], ["a"]]).repeated == 0


@given(SENTENCES)
def test_removing_repetitions_removes_exactly_the_counted_tokens(sentences: list[list[str]]) -> None:
    without = [[token for token, _ in itertools.groupby(sentence)] for sentence in sentences]
    counts = count_repetitions(sentences)
    assert counts.repeated == counts.tokens - sum(map(len, without))
    assert count_repetitions(without).repeated == 0
    assert 0.0 <= counts.share < 1.0


def test_nothing_to_count_is_no_repetition() -> None:
    assert count_repetitions([]).share == count_repetitions([[]]).share == 0.0
    assert count_repetitions([]).per_sentence == 0.0
