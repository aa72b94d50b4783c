"""Mask-predict against a plain loop over one sentence."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nat_plugin.decoding.mask_predict import lowest_with_neighbours, mask_predict

MASK = 99


def predictor(seed: int) -> tuple[object, list[Tensor]]:
    """A stand-in for a decoder: tokens and scores that depend on what each sentence's canvas shows."""
    calls: list[Tensor] = []

    def predict(slots: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(slots.clone())
        place = torch.arange(slots.size(1))
        state = (slots + 1).cumsum(1) * 31 + place * 17 + seed
        return state % 50, -((state * 7919 % 1000).float() + 1) / 1000

    return predict, calls


def in_turn(scores: list[float], neighbours: bool) -> list[int]:
    """All places in the order in which they are masked."""
    ascending = sorted(range(len(scores)), key=lambda place: scores[place])
    if not neighbours:
        return ascending
    taken: list[int] = []
    for place in ascending:
        beside = [other for other in ascending if abs(other - place) == 1]
        taken += [each for each in (place, *beside) if each not in taken]
    return taken


def plain(
    predict: object, length: int, iterations: int, stop: bool, neighbours: bool
) -> tuple[list[int], list[float], int]:
    tokens, scores = (part[0].tolist() for part in predict(torch.full((1, length), MASK)))  # type: ignore[operator]
    steps = 1
    for t in range(1, iterations):
        count = max(1, length * (iterations - t) // iterations)
        lowest = in_turn(scores, neighbours)[:count]
        shown = [MASK if place in lowest else token for place, token in enumerate(tokens)]
        new_tokens, new_scores = (part[0].tolist() for part in predict(torch.tensor([shown])))  # type: ignore[operator]
        before = list(tokens)
        for place in lowest:
            tokens[place], scores[place] = new_tokens[place], new_scores[place]
        steps += 1
        if stop and tokens == before:
            break
    return tokens, scores, steps


@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    iterations=st.integers(1, 6),
    stop=st.booleans(),
    neighbours=st.booleans(),
    seed=st.integers(0, 99),
)
def test_equals_a_plain_loop_in_any_batch(
    lengths: list[int], iterations: int, stop: bool, neighbours: bool, seed: int
) -> None:
    predict, calls = predictor(seed)
    filled = mask_predict(
        predict,  # type: ignore[arg-type]
        torch.tensor(lengths),
        mask_idx=MASK,
        iterations=iterations,
        stop_when_unchanged=stop,
        remask_neighbours=neighbours,
    )
    beyond = torch.arange(max(lengths)) >= torch.tensor(lengths).unsqueeze(1)
    assert not any(bool((slots[beyond] == MASK).any()) for slots in calls[1:])
    for index, length in enumerate(lengths):
        tokens, scores, steps = plain(predict, length, iterations, stop, neighbours)
        assert filled.tokens[index, :length].tolist() == tokens
        assert filled.scores[index, :length].tolist() == scores
        assert filled.steps[index].item() == steps


def test_one_iteration_is_one_pass_and_history_has_every_pass() -> None:
    predict, calls = predictor(1)
    mask_predict(predict, torch.tensor([5, 3]), mask_idx=MASK, iterations=1)  # type: ignore[arg-type]
    assert len(calls) == 1
    filled = mask_predict(predict, torch.tensor([5, 3]), mask_idx=MASK, iterations=4, keep_history=True)  # type: ignore[arg-type]
    assert len(filled.history) == 4
    assert filled.history[-1][0].tolist() == filled.tokens.tolist()


@pytest.mark.parametrize("neighbours", [False, True])
@pytest.mark.parametrize(
    ("iterations", "counts"), [(5, [10, 8, 6, 4, 2]), (4, [10, 7, 5, 2]), (10, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1])]
)
def test_the_number_of_masks_decays_linearly(iterations: int, counts: list[int], neighbours: bool) -> None:
    predict, calls = predictor(1)
    mask_predict(
        predict,  # type: ignore[arg-type]
        torch.tensor([10]),
        mask_idx=MASK,
        iterations=iterations,
        remask_neighbours=neighbours,
    )
    assert [int((slots == MASK).sum()) for slots in calls] == counts


@pytest.mark.parametrize(
    ("count", "masked"),
    [
        (1, {4}),  # the lowest
        (2, {4, 5}),  # and the slot beside it of lower score
        (3, {3, 4, 5}),
        (4, {3, 4, 5, 6}),  # 5, taken already, is next and brings its neighbour along
        (5, {0, 3, 4, 5, 6}),  # the first slot has one neighbour
        (6, {0, 1, 3, 4, 5, 6}),
        (7, {0, 1, 2, 3, 4, 5, 6}),
    ],
)
def test_the_lowest_bring_their_neighbours_along(count: int, masked: set[int]) -> None:
    scores = torch.tensor([[-3.0, -0.3, -0.2, -0.5, -9.0, -4.0, -0.1, -99.0]])
    real = torch.tensor([[True] * 7 + [False]])
    found = lowest_with_neighbours(scores, torch.tensor([count]), real)
    assert set(found[0].nonzero().flatten().tolist()) == masked
