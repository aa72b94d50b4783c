"""Translations against references: by hand, and what holds of any."""

from __future__ import annotations

import random
from dataclasses import asdict
from functools import reduce
from operator import add

import pytest
import torch

from nat_plugin.analysis.monotonic_alignment import of_ctc
from nat_plugin.analysis.reference_alignment import NOTHING, ReferenceMatch, match_reference, match_words


def counts(match: ReferenceMatch) -> tuple[int, ...]:
    """Targets, words, matched, substituted, skipped targets, skipped words, displaced."""
    *found, _ = asdict(match).values()
    return tuple(found)


def test_each_kind_of_difference() -> None:
    references = [line.split() for line in ("a b c d", "a x c d", "a b c c d", "b c d", "d a b c", "")]
    said = ["a", "b", "c", "d"]
    found = match_words(said, references)
    assert [counts(match) for match in found] == [
        (4, 4, 4, 0, 0, 0, 0),
        (4, 4, 3, 1, 0, 0, 0),
        (5, 4, 4, 0, 1, 0, 0),  # said once, asked for twice
        (3, 4, 3, 0, 0, 1, 0),
        (4, 4, 3, 0, 1, 1, 1),  # d stands elsewhere
        (0, 4, 0, 0, 0, 4, 0),
    ]
    assert found[0].similarity == 1.0
    assert found[4].similarity == pytest.approx(6 / 8)
    assert found[0].cost < 1 < found[1].cost
    assert found[4].shares()["displaced"] == 0.25


def test_an_empty_translation_skips_everything() -> None:
    [found] = match_words([], [["a", "b"]], skip_target_penalty=3.0)
    assert counts(found) == (2, 0, 0, 0, 2, 0, 0)
    assert (found.cost, found.similarity) == (48.0, 0.0)


def test_matches_and_displaced_words_are_never_more_than_both_sides_have() -> None:
    generator = random.Random(3)
    for _ in range(40):
        said, reference = ([generator.choice("abcd") for _ in range(generator.randrange(1, 9))] for _ in range(2))
        [match] = match_words(said, [reference])
        assert match.matched + match.substituted + match.skipped_targets == len(reference)
        common = sum(min(said.count(word), reference.count(word)) for word in "abcd")
        assert match.matched + match.displaced <= common
        assert match.similarity <= 1
        assert match.displaced <= min(match.words, match.substituted + match.skipped_targets)


def test_shares_of_a_sum() -> None:
    total = reduce(add, match_words(["a", "b"], [["a", "b"], ["b", "a"], ["c"]]), NOTHING)
    assert (total.targets, total.words) == (5, 6)
    assert total.shares()["matched"] == total.matched / 5
    assert total.shares()["cost"] == total.cost / 5
    assert NOTHING.shares()["matched"] == 0


def test_ctc_says_a_word_in_several_slots() -> None:
    blank = 0
    path = torch.tensor([[1, 1, 0, 2, 0, 0]])
    [alignment] = of_ctc(path, torch.tensor([6]), torch.tensor([2]), blank)
    assert alignment is not None
    said = [0, 1, 0, 3, 3, 2]  # 1 in its second slot; 2 elsewhere; 3 is no target
    match = match_reference(alignment, said, [1, 2], blank=blank, cost=0.0, collapse=True)
    assert counts(match) == (2, 3, 1, 1, 0, 1, 1)
    apart = match_reference(alignment, said, [1, 2], blank=blank, cost=0.0)
    assert counts(apart) == (2, 4, 1, 1, 0, 2, 1)
