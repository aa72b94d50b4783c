"""Words of binarised text: joined as fairseq joins subwords."""

from __future__ import annotations

import numpy as np
import pytest

from nat_plugin.target_candidates.words import SubwordMarks, Tokens

BPE = ["</s>", "a@@", "b", "ab@@", "c"]
PIECES = ["</s>", "▁a", "b", "▁", "▁ab", "c"]
PLAIN = ["</s>", "a", "b"]


@pytest.mark.parametrize(
    ("symbols", "tokens", "sizes", "lines"),
    [
        (BPE, [1, 2, 4, 0, 3, 4, 0, 1, 4, 0], [4, 3, 3], ["ab c", "abc", "ac"]),
        (PIECES, [1, 2, 4, 0, 4, 5, 0, 3, 5, 0], [4, 3, 3], ["ab ab", "abc", "c"]),
        (PLAIN, [1, 2, 0, 0, 1, 0], [3, 1, 2], ["a b", "", "a"]),
    ],
)
def test_subwords_are_joined(symbols: list[str], tokens: list[int], sizes: list[int], lines: list[str]) -> None:
    text = Tokens(np.array(tokens, dtype=np.uint16), np.array(sizes, dtype=np.int32))
    assert SubwordMarks(symbols).lines(text) == lines


def test_how_words_are_cut_does_not_matter() -> None:
    marks = SubwordMarks(BPE)
    one, other = marks.lines(Tokens(np.array([3, 4, 0, 1, 2, 0]), np.array([3, 3])))
    assert (one, other) == ("abc", "ab")


def test_a_text_of_empty_sentences_has_no_words() -> None:
    assert SubwordMarks(PLAIN).lines(Tokens(np.array([0, 0]), np.array([1, 1]))) == ["", ""]
