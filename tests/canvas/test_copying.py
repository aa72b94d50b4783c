"""Copies of the source's states: against loops over slots and words, on either side's padding, in half precision."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nat_plugin.canvas.copying import soft_copy, uniform_copy

WIDTH = 3
Sizes = list[tuple[int, int]]
SIZES = st.lists(st.tuples(st.integers(1, 7), st.integers(1, 20)), min_size=1, max_size=5)


def source(sizes: Sizes, left: bool, extra: int = 0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """States [B, S', 3] and padding of sentences of S words and an end marker; padding holds what must not be seen."""
    generator = torch.Generator().manual_seed(seed)
    longest = max(words for words, _ in sizes) + 1 + extra
    states = torch.full((len(sizes), longest, WIDTH), 1e4)
    padding = torch.ones(len(sizes), longest, dtype=torch.bool)
    for row, (words, _) in enumerate(sizes):
        start = longest - words - 1 if left else 0
        states[row, start : start + words + 1] = torch.randn(words + 1, WIDTH, generator=generator)
        padding[row, start : start + words + 1] = False
    return states, padding


def by_hand(states: Tensor, padding: Tensor, slots: int, temperature: float) -> Tensor:
    """The formula for one sentence, word by word."""
    words = states[~padding][:-1]
    count = len(words)
    rows = []
    for j in range(slots):
        weights = torch.tensor([-abs(i * slots / count - j) / temperature for i in range(count)]).softmax(0)
        rows.append(sum(weight * word for weight, word in zip(weights, words, strict=True)))
    return torch.stack(rows)


@given(SIZES, st.booleans(), st.integers(0, 2), st.floats(0.05, 5.0))
def test_soft_copy_is_its_formula(sizes: Sizes, left: bool, extra: int, temperature: float) -> None:
    states, padding = source(sizes, left, extra)
    lengths = torch.tensor([slots for _, slots in sizes])
    width = int(lengths.max()) + extra
    copies = soft_copy(states, padding, lengths, width, torch.tensor(temperature))
    assert copies.shape == (len(sizes), width, WIDTH)
    assert bool(copies.isfinite().all())
    for row, (_, slots) in enumerate(sizes):
        expected = by_hand(states[row], padding[row], slots, temperature)
        torch.testing.assert_close(copies[row, :slots], expected, rtol=1e-4, atol=1e-5)


@given(SIZES, st.booleans(), st.integers(0, 2))
def test_uniform_copy_takes_the_nearest_word(sizes: Sizes, left: bool, extra: int) -> None:
    states, padding = source(sizes, left, extra)
    lengths = torch.tensor([slots for _, slots in sizes])
    copies = uniform_copy(states, padding, lengths, int(lengths.max()) + extra)
    for row, (words, slots) in enumerate(sizes):
        of_words = states[row][~padding[row]]
        for j in range(slots):
            assert copies[row, j].tolist() == of_words[math.floor((j + 0.5) * words / slots)].tolist()


def test_a_canvas_without_slots_beside_another() -> None:
    """Of an empty reference in validation."""
    states, padding = source([(4, 0), (2, 3)], left=False)
    copies = uniform_copy(states, padding, torch.tensor([0, 3]), 3)
    assert copies[1].tolist() == states[1][:2][[0, 1, 1]].tolist()
    assert bool(copies.isfinite().all())


@pytest.mark.parametrize("left", [False, True])
def test_each_word_fills_as_many_slots_where_they_divide(left: bool) -> None:
    states, padding = source([(4, 12), (2, 6)], left)
    copies = uniform_copy(states, padding, torch.tensor([12, 6]), 12)
    for row, words in enumerate((4, 2)):
        assert copies[row, : 3 * words].tolist() == states[row][~padding[row]][:-1].repeat_interleave(3, 0).tolist()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_to_single(dtype: torch.dtype) -> None:
    """On a long canvas too, whose places half precision cannot count."""
    sizes = [(400, 1200), (3, 9)]
    states, padding = source(sizes, left=True)
    states = states.clamp(max=3.0)
    lengths = torch.tensor([1200, 9])
    single = soft_copy(states, padding, lengths, 1200, torch.tensor(0.5))
    half = soft_copy(states.to(dtype), padding, lengths, 1200, torch.tensor(0.5))
    assert half.dtype == dtype
    torch.testing.assert_close(half.float(), single, rtol=0.02, atol=0.02)
    assert uniform_copy(states.to(dtype), padding, lengths, 1200).dtype == dtype


def test_the_temperature_has_its_gradient_beside_padding() -> None:
    states, padding = source([(4, 9), (2, 3)], left=False)
    states, lengths = states.clamp(max=3.0).double(), torch.tensor([9, 3])
    temperature = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    real = torch.arange(9) < lengths.unsqueeze(1)

    def total(value: Tensor) -> Tensor:
        return (soft_copy(states, padding, lengths, 9, value)[real] ** 2).sum()

    total(temperature).backward()
    assert temperature.grad is not None
    step = 1e-5
    with torch.no_grad():
        slope = (total(temperature + step) - total(temperature - step)) / (2 * step)
    assert float(temperature.grad) == pytest.approx(float(slope), rel=1e-6)


def test_a_source_of_its_end_marker_alone_is_copied_from_that() -> None:
    states = torch.randn(1, 1, WIDTH)
    padding = torch.zeros(1, 1, dtype=torch.bool)
    expected = states.expand(1, 2, WIDTH)
    torch.testing.assert_close(soft_copy(states, padding, torch.tensor([2]), 2, torch.tensor(0.5)), expected)
    torch.testing.assert_close(uniform_copy(states, padding, torch.tensor([2]), 2), expected)
