"""Choosing among candidates against a plain loop, and the copy to the host."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nat_plugin.decoding.candidates import Candidates, best_rows
from nat_plugin.decoding.host_copy import pack, to_host, unpack

PAD = 0
Sentence = tuple[int, ...]
Entry = tuple[Sentence, float]


def as_candidates(lists: list[list[Entry]]) -> tuple[Candidates, Tensor]:
    """Lists of (tokens, ranking), the shorter ones filled up; and the ranking of each row."""
    count = max(map(len, lists))
    rows = [entry for entries in lists for entry in [*entries, *[((), float("-inf"))] * (count - len(entries))]]
    steps = torch.tensor([int(place < len(entries)) for entries in lists for place in range(count)])
    width = max(1, max(len(tokens) for tokens, _ in rows))
    tokens = torch.tensor([[*sentence, *[PAD] * (width - len(sentence))] for sentence, _ in rows])
    ranking = torch.tensor([score for _, score in rows])
    lengths = torch.tensor([len(sentence) for sentence, _ in rows])
    return Candidates(count, tokens, lengths, ranking, steps, lambda rows: tokens[rows].float(), []), ranking


def plain(entries: list[Entry], nbest: int) -> list[Entry]:
    chosen: list[Entry] = []
    for tokens, score in sorted(entries, key=lambda entry: -entry[1]):
        if tokens not in [other for other, _ in chosen]:
            chosen.append((tokens, score))
    return chosen[:nbest]


scores = st.sampled_from([-3.0, -2.0, -1.0, float("-inf")])
entries = st.tuples(st.lists(st.integers(1, 2), max_size=2).map(tuple), scores)


@given(lists=st.lists(st.lists(entries, min_size=1, max_size=6), min_size=1, max_size=4), nbest=st.integers(1, 7))
def test_the_best_are_different_and_real_and_in_order(lists: list[list[Entry]], nbest: int) -> None:
    candidates, ranking = as_candidates(lists)
    rows, wanted = best_rows(candidates, ranking, nbest)
    for found, keep, expected in zip(rows, wanted, lists, strict=True):
        chosen = [
            (tuple(candidates.tokens[row, : candidates.lengths[row]].tolist()), float(ranking[row]))
            for row in found[keep]
        ]
        assert chosen == plain(expected, nbest)


def test_packing_keeps_every_type_and_shape() -> None:
    tensors = [
        torch.tensor([True, False, True]),
        torch.arange(6).view(2, 3),
        torch.randn(3, 5, 1).transpose(0, 1),
        torch.empty(0, 4, dtype=torch.int32),
        torch.tensor(7, dtype=torch.float64),
        torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    ]
    for after in (unpack(pack(tensors), tensors), to_host(tensors)):
        for before, found in zip(tensors, after, strict=True):
            assert found.dtype == before.dtype
            assert found.shape == before.shape
            assert torch.equal(found, before)
