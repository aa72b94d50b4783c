"""The scan over slots against torch's own CTC and against itself in float64."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nat_plugin.alignments.backends.torch_ctc import occupancy_by_scan, occupancy_by_torch

WORDS = 4


def problem(
    batch: int, n: int, m: int, seed: int, impossible: float = 0.0, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Windows of log-probabilities over few words, so that targets repeat; some of them impossible."""
    generator = torch.Generator().manual_seed(seed)
    lprobs = torch.randn(batch, m, WORDS + 1, dtype=torch.float64, generator=generator).mul(3).log_softmax(2)
    lprobs.masked_fill_(torch.rand(lprobs.shape, generator=generator) < impossible, -math.inf)
    targets = torch.randint(WORDS, (batch, n), generator=generator)
    symbols = torch.nn.functional.pad(targets, (0, 1), value=WORDS)
    window = lprobs.gather(2, symbols.unsqueeze(1).expand(-1, m, -1))
    logit_lengths = torch.randint(1, m + 1, (batch,), generator=generator)
    target_lengths = torch.randint(0, n + 1, (batch,), generator=generator)
    window.masked_fill_((torch.arange(m) >= logit_lengths.unsqueeze(1)).unsqueeze(2), 0.0)
    return window.to(dtype), targets, logit_lengths, target_lengths


def by_word(occupancy: Tensor, targets: Tensor) -> Tensor:
    """Summed over the columns of one word: how it is shared between them is not specified."""
    symbols = torch.nn.functional.pad(targets, (0, 1), value=WORDS).unsqueeze(1).expand_as(occupancy)
    return torch.zeros(*occupancy.shape[:2], WORDS + 1, dtype=occupancy.dtype).scatter_add_(2, symbols, occupancy)


@given(
    batch=st.integers(1, 5),
    n=st.integers(0, 5),
    m=st.integers(1, 12),
    seed=st.integers(0, 10**6),
    impossible=st.sampled_from([0.0, 0.2, 0.6]),
)
def test_equals_torchs(batch: int, n: int, m: int, seed: int, impossible: float) -> None:
    arguments = problem(batch, n, m, seed, impossible)
    (costs, occupancy), (expected_costs, expected) = occupancy_by_scan(*arguments), occupancy_by_torch(*arguments)
    torch.testing.assert_close(costs, expected_costs)
    torch.testing.assert_close(by_word(occupancy, arguments[1]), by_word(expected, arguments[1]), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_long_canvas_neither_overflows_nor_loses_precision(dtype: torch.dtype) -> None:
    window, targets, _, _ = problem(2, 300, 1000, seed=3)
    arguments = (targets, torch.tensor([1000, 900]), torch.tensor([300, 250]))
    costs, occupancy = occupancy_by_scan(window.to(dtype), *arguments)
    expected_costs, expected = occupancy_by_torch(window, *arguments)
    torch.testing.assert_close(costs.double(), expected_costs, rtol=1e-6, atol=0)
    # torch's posterior itself is good to 1e-8 or so at this length
    torch.testing.assert_close(by_word(occupancy.double(), targets), by_word(expected, targets), rtol=1e-4, atol=1e-5)


def test_a_blank_that_is_almost_certain_loses_no_target() -> None:
    """Each further target then makes a beginning 22 orders of magnitude less probable, and yet all ends need them."""
    n, m = 40, 120
    window = torch.full((1, m, n + 1), -50.0)
    window[:, :, n] = 0.0
    arguments = (window, torch.arange(n).unsqueeze(0), torch.tensor([m]), torch.tensor([n]))
    costs, occupancy = occupancy_by_scan(*arguments)
    said = occupancy[0].sum(0)
    torch.testing.assert_close(said[:n], torch.ones(n), rtol=1e-5, atol=0)
    # n targets of 50 nats each, in any n of the m slots
    expected = 50.0 * n - (math.lgamma(m + 1) - math.lgamma(n + 1) - math.lgamma(m - n + 1))
    assert float(costs) == pytest.approx(expected, rel=1e-6)
