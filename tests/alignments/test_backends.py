"""Every backend against the torch backend, in single precision and at sizes that enumeration cannot reach."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nat_plugin.alignments.backends import choose_backend, torch_backend
from nat_plugin.alignments.causality import Causality
from tests.alignments.problems import BACKENDS

OTHERS = [name for name in BACKENDS if name != "torch"]
each_backend = pytest.mark.parametrize("name", OTHERS)

PROBLEMS = st.fixed_dictionaries(
    {
        "sizes": st.lists(st.tuples(st.integers(0, 40), st.integers(1, 90)), min_size=1, max_size=5),
        "words": st.integers(2, 60),
        "seed": st.integers(0, 9999),
        "dtype": st.sampled_from([torch.float32, torch.float64]),
        "impossible": st.sampled_from([0.0, 0.0, 0.05]),
    }
)


class Problem:
    """Logits, targets and lengths of a batch; some symbols impossible."""

    def __init__(self, sizes: Any, words: int, seed: int, dtype: torch.dtype, impossible: float) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.target_lengths, self.logit_lengths = (torch.tensor(side) for side in zip(*sizes, strict=True))
        batch, n, m = len(sizes), int(self.target_lengths.max()), int(self.logit_lengths.max()) + 1
        self.logits = 3 * torch.randn(batch, m, words, generator=generator, dtype=dtype)
        self.logits[torch.rand(self.logits.shape, generator=generator) < impossible] = float("-inf")
        self.logits[:, :, 0] = 0.0  # every slot can say something
        self.targets = torch.randint(0, words, (batch, n), generator=generator)
        self.tokens = torch.nn.functional.pad(self.targets, (0, 1), value=1).unsqueeze(1)
        _, self.window, _ = torch_backend.read_slots(self.logits, self.tokens, self.logit_lengths, False)
        self.tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-9}
        self.generator = generator

    def weights(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=self.window.dtype)


@each_backend
@given(description=PROBLEMS)
@settings(max_examples=40)
def test_dense_passes_agree(name: str, description: dict[str, Any]) -> None:
    backend, problem = choose_backend(torch.zeros(1), name), Problem(**description)
    ours = backend.read_slots(problem.logits, problem.tokens, problem.logit_lengths, True)
    reference = torch_backend.read_slots(problem.logits, problem.tokens, problem.logit_lengths, True)
    for mine, expected in zip(ours, reference, strict=True):
        torch.testing.assert_close(mine, expected, **problem.tolerance)
    batch, m, columns = problem.window.shape
    arguments = (
        problem.logits,
        reference[0],
        problem.tokens,
        problem.weights(batch, m, columns),
        problem.weights(batch, m),
        problem.weights(batch, m),
        problem.logit_lengths,
    )
    torch.testing.assert_close(
        backend.write_gradient(*arguments), torch_backend.write_gradient(*arguments), **problem.tolerance
    )
    torch.testing.assert_close(
        backend.gather_logits(problem.logits, problem.tokens, problem.logit_lengths),
        torch_backend.gather_logits(problem.logits, problem.tokens, problem.logit_lengths),
    )


@each_backend
@given(description=PROBLEMS, delta=st.sampled_from([0.0, 0.5, 1.0, 4.0]), causal=st.sampled_from(Causality))
@settings(max_examples=60)
def test_axe_paths_cost_the_same(name: str, description: dict[str, Any], delta: float, causal: Causality) -> None:
    backend, problem = choose_backend(torch.zeros(1), name), Problem(**description)
    window = problem.window
    arguments = (
        window[:, :, :-1].contiguous(),
        window[:, :, -1].contiguous(),
        problem.logit_lengths,
        problem.target_lengths,
        delta,
        causal,
    )
    costs = [path_costs(arguments, each.axe_paths(*arguments)) for each in (backend, torch_backend)]
    torch.testing.assert_close(*costs, **problem.tolerance)


def path_costs(arguments: Any, path: tuple[Tensor, Tensor]) -> Tensor:
    target_lprobs, blank_lprobs, logit_lengths, target_lengths, delta, _ = arguments
    positions, aligned = path
    n, m = positions.size(1), blank_lprobs.size(1)
    real = torch.arange(n) < target_lengths.unsqueeze(1)
    weights = torch.where(aligned, 1.0, delta).to(target_lprobs.dtype)
    paid = torch.where(weights > 0, weights * target_lprobs.gather(1, positions.unsqueeze(1)).squeeze(1), 0.0)
    taken = torch.zeros_like(blank_lprobs).scatter_add_(1, positions, (aligned & real).to(blank_lprobs.dtype))
    blank = (torch.arange(m) < logit_lengths.unsqueeze(1)) & (taken == 0)
    assert (taken <= 1).all()
    assert not (aligned & ~real).any()
    assert (positions.diff(dim=1)[real[:, 1:]] >= 0).all()
    return -paid.masked_fill(~real, 0.0).sum(1) - blank_lprobs.masked_fill(~blank, 0.0).sum(1)


@each_backend
@given(description=PROBLEMS)
@settings(max_examples=40)
def test_ctc_programs_agree(name: str, description: dict[str, Any]) -> None:
    backend, problem = choose_backend(torch.zeros(1), name), Problem(**description)
    arguments = (problem.window, problem.targets, problem.logit_lengths, problem.target_lengths)
    costs, occupancy = backend.ctc_occupancy(*arguments)
    expected_costs, expected_occupancy = torch_backend.ctc_occupancy(*arguments)
    torch.testing.assert_close(costs, expected_costs, **problem.tolerance)
    tolerance = {"rtol": 1e-3, "atol": 1e-3} if costs.dtype == torch.float32 else problem.tolerance
    torch.testing.assert_close(by_symbol(occupancy, problem), by_symbol(expected_occupancy, problem), **tolerance)
    paths, expected_paths = (each.ctc_best_paths(*arguments) for each in (backend, torch_backend))
    scores = [problem.window.gather(2, path.unsqueeze(2)).sum((1, 2)) for path in (paths, expected_paths)]
    torch.testing.assert_close(*scores, **problem.tolerance)


def by_symbol(occupancy: Tensor, problem: Problem) -> Tensor:
    """Summed over the columns of one symbol: which of them holds the sum is not specified."""
    index = problem.tokens.expand(-1, occupancy.size(1), -1)
    return torch.zeros(*occupancy.shape[:2], problem.logits.size(2), dtype=occupancy.dtype).scatter_add_(
        2, index, occupancy
    )
