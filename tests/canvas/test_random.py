"""Numbers that depend on the sentence alone."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from nat_plugin.canvas.random import sentence_hash

PAD = 1


def padded(sentences: list[list[int]], width: int, left: bool) -> torch.Tensor:
    rows = []
    for sentence in sentences:
        padding = [PAD] * (width - len(sentence))
        rows.append([*padding, *sentence] if left else [*sentence, *padding])
    return torch.tensor(rows)


@given(
    sentences=st.lists(st.lists(st.integers(2, 9), min_size=1, max_size=5), min_size=2, max_size=6, unique_by=tuple),
    more=st.integers(0, 3),
)
def test_a_sentence_keeps_its_hash_in_any_batch_and_shares_it_with_no_other(
    sentences: list[list[int]], more: int
) -> None:
    width = max(map(len, sentences)) + more
    hashes = []
    for left in (False, True):
        tokens = padded(sentences, width, left)
        hashes.append(sentence_hash(tokens, tokens != PAD).tolist())
    alone = [sentence_hash(torch.tensor([sentence]), torch.ones(1, len(sentence)).bool()) for sentence in sentences]
    assert hashes[0] == hashes[1] == [int(entry) for entry in alone]
    assert len(set(hashes[0])) == len(sentences)
