"""Masks in sets of neighbours: how many, in which runs, how probable, and that they depend on the sentence alone."""

from __future__ import annotations

from collections import Counter
from itertools import groupby, permutations

import torch
from hypothesis import given
from hypothesis import strategies as st

from nat_plugin.canvas.masking import choose_slots, choose_spans, uniform_mask


def runs(mask: list[bool]) -> list[int]:
    """The lengths of the runs of masked slots."""
    return [len(list(group)) for masked, group in groupby(mask) if masked]


@given(
    ids=st.lists(st.integers(0, 2**40), min_size=1, max_size=6, unique=True),
    span=st.integers(1, 5),
    padding=st.integers(0, 5),
    seed=st.integers(0, 2**31),
    update=st.integers(0, 10**7),
)
def test_sets_of_neighbours_one_of_them_shorter_and_alike_in_any_batch(
    ids: list[int], span: int, padding: int, seed: int, update: int
) -> None:
    lengths = torch.tensor([1 + sentence % 11 for sentence in ids])
    draw = {"seed": seed, "update": update, "span": span}
    together = uniform_mask(lengths, int(lengths.max()) + padding, sentence_ids=torch.tensor(ids), **draw)
    single_tokens = uniform_mask(
        lengths, int(lengths.max()) + padding, sentence_ids=torch.tensor(ids), **{**draw, "span": 1}
    )
    assert together.sum(1).tolist() == single_tokens.sum(1).tolist()
    for index, sentence in enumerate(ids):
        n = int(lengths[index])
        [alone] = uniform_mask(lengths[index : index + 1], n, sentence_ids=torch.tensor([sentence]), **draw).tolist()
        assert together[index, :n].tolist() == alone
        assert not together[index, n:].any()
        total = sum(alone)
        assert 1 <= total <= n
        rests = [length % span for length in runs(alone) if length % span]
        assert rests == ([total % span] if total % span else [])


@given(st.integers(1, 9), st.integers(0, 3), st.integers(0, 10**6))
def test_a_span_of_one_draws_single_slots(n: int, padding: int, seed: int) -> None:
    ids = torch.arange(8)
    lengths, counts = torch.full((8,), n), 1 + ids % n
    draw = {"seed": seed, "update": 3, "sentence_ids": ids}
    spans = choose_spans(counts, lengths, n + padding, span=1, **draw)
    assert torch.equal(spans, choose_slots(counts, lengths, n + padding, **draw))


def test_every_arrangement_is_as_probable_as_any_other() -> None:
    """Three of five slots in pairs: a pair, a single one, and two slots between them, before or after."""
    draws = 24_000
    lengths, counts = torch.full((draws,), 5), torch.full((draws,), 3)
    masks = choose_spans(counts, lengths, 6, span=2, seed=1, update=4, sentence_ids=torch.arange(draws))
    found = Counter(tuple(mask) for mask in masks[:, :5].tolist())
    expected = Counter(
        tuple(masked for piece in arrangement for masked in piece)
        for arrangement in permutations([(True, True), (True,), (False,), (False,)])
    )
    assert found.keys() == expected.keys()
    for mask, ways in expected.items():
        share = draws * ways / 24
        assert abs(found[mask] - share) < 5 * share**0.5


def test_the_total_is_uniform() -> None:
    lengths = torch.full((30_000,), 5)
    masks = uniform_mask(lengths, 7, span=2, seed=1, update=4, sentence_ids=torch.arange(30_000))
    counts = torch.bincount(masks.sum(1), minlength=6)
    assert counts[0] == 0
    assert ((counts[1:] - 6000).abs() < 5 * 6000**0.5).all()
