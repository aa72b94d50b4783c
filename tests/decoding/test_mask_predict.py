"""Mask-predict against a plain loop over one sentence."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nat_plugin.decoding.mask_predict import mask_predict

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


def plain(predict: object, length: int, iterations: int, stop: bool) -> tuple[list[int], int]:
    tokens, scores = (part[0].tolist() for part in predict(torch.full((1, length), MASK)))  # type: ignore[operator]
    steps = 1
    for t in range(1, iterations):
        count = max(1, length * (iterations - t) // iterations)
        lowest = sorted(range(length), key=lambda place: scores[place])[:count]
        shown = [MASK if place in lowest else token for place, token in enumerate(tokens)]
        new_tokens, new_scores = (part[0].tolist() for part in predict(torch.tensor([shown])))  # type: ignore[operator]
        before = list(tokens)
        for place in lowest:
            tokens[place], scores[place] = new_tokens[place], new_scores[place]
        steps += 1
        if stop and tokens == before:
            break
    return tokens, steps


@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    iterations=st.integers(1, 6),
    stop=st.booleans(),
    seed=st.integers(0, 99),
)
def test_equals_a_plain_loop_in_any_batch(lengths: list[int], iterations: int, stop: bool, seed: int) -> None:
    predict, _ = predictor(seed)
    filled = mask_predict(
        predict,  # type: ignore[arg-type]
        torch.tensor(lengths),
        mask_idx=MASK,
        iterations=iterations,
        stop_when_unchanged=stop,
    )
    for index, length in enumerate(lengths):
        tokens, steps = plain(predict, length, iterations, stop)
        assert filled.tokens[index, :length].tolist() == tokens
        assert filled.steps[index].item() == steps


def test_one_iteration_is_one_pass_and_history_has_every_pass() -> None:
    predict, calls = predictor(1)
    mask_predict(predict, torch.tensor([5, 3]), mask_idx=MASK, iterations=1)  # type: ignore[arg-type]
    assert len(calls) == 1
    filled = mask_predict(predict, torch.tensor([5, 3]), mask_idx=MASK, iterations=4, keep_history=True)  # type: ignore[arg-type]
    assert len(filled.history) == 4
    assert filled.history[-1][0].tolist() == filled.tokens.tolist()


def test_the_number_of_masks_decays_linearly() -> None:
    predict, calls = predictor(1)
    mask_predict(predict, torch.tensor([10]), mask_idx=MASK, iterations=5)  # type: ignore[arg-type]
    assert [int((slots == MASK).sum()) for slots in calls] == [10, 8, 6, 4, 2]
