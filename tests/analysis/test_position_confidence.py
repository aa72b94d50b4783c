"""Position confidence against a computation slot by slot."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
import torch

from nat_plugin.analysis.position_confidence import ConfidenceSums, slot_confidence

BLANK, NEVER = 0, 1


def batch(seed: int, lengths: list[int], width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits in which blank and the excluded symbol often win."""
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(len(lengths), width, 5, generator=generator), torch.tensor(lengths)


def test_sums_are_those_of_single_slots() -> None:
    distance, places = 2, 3
    sums = ConfidenceSums(2, distance, places)
    near: dict[tuple[int, int], list[float]] = defaultdict(list)
    own: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    slots: dict[tuple[int, int], int] = defaultdict(int)
    for seed, lengths, groups in ((1, [4, 7, 1], [0, 1, 0]), (2, [2, 2], [1, 1])):
        logits, sizes = batch(seed, lengths, max(lengths) + 1)
        sums.add(slot_confidence(logits, sizes, torch.tensor([NEVER])), sizes, torch.tensor(groups), BLANK)
        for rows, length, group in zip(logits, lengths, groups, strict=True):
            probabilities = rows.softmax(1)
            for slot in range(length):
                place = int((slot + 0.5) * places / length)
                slots[group, place] += 1
                token = max((token for token in range(5) if token != NEVER), key=lambda token: rows[slot, token])
                if token == BLANK:
                    continue
                entropy = -sum(float(p) * math.log(p) for p in probabilities[slot])
                own[group, place].append((float(probabilities[slot, token]), entropy))
                for other in range(length):
                    if abs(other - slot) <= distance:
                        near[group, other - slot].append(float(probabilities[other, token]))
    found = sums.result()
    assert [group.sentences for group in found] == [2, 3]
    assert [group.slots for group in found] == [5, 11]
    blanks = 0
    for group, result in enumerate(found):
        assert [point.distance for point in result.distances] == [-2, -1, 0, 1, 2]
        for point in result.distances:
            expected = near[group, point.distance]
            assert point.pairs == len(expected) > 0
            assert point.probability == pytest.approx(sum(expected) / len(expected), rel=1e-5)
        for number, part in enumerate(result.places):
            expected_parts = own[group, number]
            assert part.place == pytest.approx((number + 0.5) / places)
            assert (part.tokens, part.slots) == (len(expected_parts), slots[group, number])
            if expected_parts:
                for value, column in ((part.probability, 0), (part.entropy, 1)):
                    assert value == pytest.approx(sum(e[column] for e in expected_parts) / part.tokens, rel=1e-4)
        blanks += result.slots - result.tokens
    assert blanks > 0  # or this test would not see that blanks are left out


def test_a_group_without_tokens_has_no_means() -> None:
    sums = ConfidenceSums(1, 4, 2)
    logits, lengths = torch.zeros(1, 2, 5), torch.tensor([2])
    logits[..., BLANK] = 9.0
    sums.add(slot_confidence(logits, lengths, torch.tensor([NEVER])), lengths, torch.tensor([0]), BLANK)
    [found] = sums.result()
    assert (found.slots, found.tokens) == (2, 0)
    assert all(point.probability is None and not point.pairs for point in found.distances)
    assert all(part.probability is None and part.entropy is None for part in found.places)
