"""Words as numbers: joined as fairseq joins subwords."""

from __future__ import annotations

import numpy as np
import pytest
from fairseq.data.data_utils import post_process

from nat_plugin.target_candidates.words import SubwordMarks, Tokens, words_of_lines

BPE = ["</s>", "a@@", "b", "ab@@", "c", "bc", "@@", "x@@", "<unk>"]
PIECES = ["</s>", "▁a", "b", "▁", ",", "▁ab", "c", "▁bc"]
PLAIN = ["</s>", "a", "b", "ab", "c"]


def random_text(symbols: list[str], seed: int) -> tuple[Tokens, list[str]]:
    """Forty sentences, some of them empty, as tokens with end markers and as text."""
    draw = np.random.default_rng(seed)
    sentences = [draw.integers(1, len(symbols), draw.integers(0, 9)) for _ in range(40)]
    tokens = np.concatenate([np.append(sentence, 0) for sentence in sentences])
    lines = [" ".join(symbols[token] for token in sentence) for sentence in sentences]
    return Tokens(tokens.astype(np.uint16), np.array([len(sentence) + 1 for sentence in sentences])), lines


@pytest.mark.parametrize(
    ("symbols", "kind", "fairseq_name"),
    [(BPE, "bpe", "@@ "), (PIECES, "sentencepiece", "sentencepiece"), (PLAIN, "none", None)],
)
@pytest.mark.parametrize("seed", range(5))
def test_words_are_those_of_the_joined_text(symbols: list[str], kind: str, fairseq_name: str | None, seed: int) -> None:
    marks = SubwordMarks(symbols)
    assert marks.kind == kind
    tokens, lines = random_text(symbols, seed)
    expected = words_of_lines([post_process(line, fairseq_name) for line in lines])
    found = marks.words(tokens)
    assert found.sizes.tolist() == expected.sizes.tolist()
    assert found.keys.tolist() == expected.keys.tolist()
    assert len(set(found.keys.tolist())) > 3


def test_equal_words_cut_otherwise_are_equal_and_others_are_not() -> None:
    marks = SubwordMarks(BPE)
    found = marks.words(Tokens(np.array([3, 4, 0, 1, 5, 0, 1, 2, 0]), np.array([3, 3, 3])))
    assert found.sizes.tolist() == [1, 1, 1]
    assert found.keys[0] == found.keys[1] != found.keys[2]


def test_a_text_of_empty_sentences_has_no_words() -> None:
    found = SubwordMarks(PLAIN).words(Tokens(np.array([0, 0]), np.array([1, 1])))
    assert (len(found.keys), found.sizes.tolist()) == (0, [0, 0])
