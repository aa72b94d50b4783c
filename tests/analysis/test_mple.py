"""The measures of MPLE against values worked out by hand, scipy, and a slow reference of the refinement."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from nat_plugin.analysis.mple import (
    BETAS,
    bits_per_token,
    correlations_by_beta,
    input_cost,
    pearson,
    refinement_costs,
    target_cost,
)

MASK, WORDS = 9, 10

# Huang et al. 2022, Table 2: L_NAT, L̂_target at β = .2, and BLEU
TABLE_2 = [
    (4.41, -6.42, 11.79), (2.42, -7.08, 20.87), (0.78, -5.13, 18.56), (1.09, -6.34, 22.22), (1.25, -6.50, 22.35),
    (1.03, -4.41, 15.00), (0.79, -5.84, 21.37), (0.83, -6.28, 22.76),
]  # fmt: skip
# Table 3: L_input, L_NAT, BLEU with Input Sampling and by default; L̂_target is -7.08 throughout
TABLE_3 = [
    (0.0, 2.42, 20.87, 20.87), (0.99, 0.46, 23.48, 19.39), (0.48, 0.55, 24.28, 19.35), (0.45, 0.66, 23.98, 25.12),
    (0.41, 0.73, 24.03, 24.84), (0.25, 1.24, 22.98, 24.22), (0.57, 0.50, 24.35, 25.19),
]  # fmt: skip


def test_the_papers_own_numbers_give_the_papers_correlations() -> None:
    l_nat, l_target, bleu = zip(*TABLE_2, strict=True)
    by_beta = correlations_by_beta(l_nat, [-each / 0.2 for each in l_target], bleu, BETAS)
    assert by_beta[BETAS.index(0.2)] == pytest.approx(-0.99, abs=0.01)
    assert all(r is not None and r <= -0.8 for r in by_beta)  # "|r| ≥ 0.8 for all β in [0.1, 0.5]"
    l_input, l_nat, sampled, default = zip(*TABLE_3, strict=True)
    cost = [first + second for first, second in zip(l_input, l_nat, strict=True)]
    assert correlations_by_beta(cost, [7.08 / 0.2] * 7, sampled, [0.2])[0] == pytest.approx(-0.99, abs=0.01)
    # they say .37 where their rounded numbers give .341
    assert correlations_by_beta(cost, [7.08 / 0.2] * 7, default, [0.2])[0] == pytest.approx(-0.37, abs=0.035)


def test_pearson_is_scipys_and_says_nothing_where_there_is_nothing_to_say() -> None:
    random = np.random.default_rng(1)
    for size in (3, 8, 50):
        x, y = random.normal(size=size), random.normal(size=size)
        assert pearson(x.tolist(), y.tolist()) == pytest.approx(scipy.stats.pearsonr(x, y).statistic)
    assert pearson([1.0, 2.0], [3.0, 4.0]) is None
    assert pearson([1.1, 1.1, 1.1], [1.0, 2.0, 3.0]) is None
    assert pearson([1.0, 2.0, 3.0], [0.1 + 0.2, 0.3, 0.3]) is None  # rounding is no variation
    assert pearson([1.0, 2.0, 3.0], [-2.0, -4.0, -6.0]) == pytest.approx(-1)


def test_units_and_target_cost() -> None:
    assert bits_per_token(math.log(2) * 12, 4) == pytest.approx(3)
    assert target_cost(35.4, 0.2) == pytest.approx(-7.08)


def test_the_input_cost_is_that_of_its_formula() -> None:
    """§E.6: -Σ log P(z_i | X) + log Q, slot by slot."""
    generator = torch.Generator().manual_seed(1)
    logits, vanilla = torch.randn(3, 5, generator=generator), -torch.rand(3, 5, generator=generator)
    masked = torch.rand(3, 5, generator=generator) < 0.5
    lengths, log_q = torch.tensor([5, 2, 3]), torch.tensor([-1.0, -2.0, -3.0])
    found = input_cost(logits, masked, lengths, vanilla, log_q)
    for row, length in enumerate(lengths.tolist()):
        expected = float(log_q[row])
        for slot in range(length):
            hidden = 1 / (1 + math.exp(-float(logits[row, slot])))
            expected -= math.log(hidden) if masked[row, slot] else math.log(1 - hidden) + float(vanilla[row, slot])
        assert float((found.masks + found.tokens + found.log_q)[row]) == pytest.approx(expected, rel=1e-5)
    sure = input_cost(torch.tensor([[1e4]]), torch.tensor([[False]]), lengths[:1] - 4, vanilla[:1, :1], log_q[:1])
    assert float(sure.masks) == pytest.approx(1e4)  # not infinite


def table(seed: int, slots: int) -> Callable[[Tensor], Tensor]:
    """A model whose logits at a slot depend on all tokens of its sentence."""
    weights = torch.randn(slots, WORDS, WORDS, generator=torch.Generator().manual_seed(seed)) * 2

    def decode(canvas: Tensor) -> Tensor:
        seen = torch.nn.functional.one_hot(canvas, WORDS).float().sum(1)  # [B, V]
        return torch.einsum("bv,mvw->bmw", seen, weights[: canvas.size(1)])

    return decode


@pytest.mark.parametrize("iterations", [1, 4])
def test_refinement_costs_slot_by_slot(iterations: int) -> None:
    lengths = torch.tensor([6, 6, 6])
    targets = torch.randint(0, 8, (3, 6), generator=torch.Generator().manual_seed(4))
    decode, never = table(2, 6), torch.tensor([8, MASK])
    found = refinement_costs(decode, targets, lengths, mask_idx=MASK, never_predicted=never, iterations=iterations)
    assert found.costs.shape == found.masked.shape == (iterations, 3)
    for row in range(3):
        tokens, scores, of_target = [MASK] * 6, [0.0] * 6, [0.0] * 6
        chosen = list(range(6))
        for step in range(iterations):
            if step:
                count = max(1, 6 * (iterations - step) // iterations)
                chosen = sorted(range(6), key=lambda slot: scores[slot])[:count]
            canvas = [MASK if slot in chosen else tokens[slot] for slot in range(6)]
            lprobs = decode(torch.tensor([canvas]))[0].log_softmax(1)
            for slot in chosen:
                tokens[slot] = int(lprobs[slot, :8].argmax())
                scores[slot] = float(lprobs[slot, tokens[slot]])
                of_target[slot] = float(lprobs[slot, targets[row, slot]])
            assert float(found.costs[step, row]) == pytest.approx(-sum(of_target), rel=1e-5)
            assert int(found.masked[step, row]) == len(chosen)


def test_refinement_ignores_padding() -> None:
    targets = torch.tensor([[1, 2, 3, 0, 0], [4, 5, 6, 7, 1]])
    lengths = torch.tensor([3, 5])

    def decode(canvas: Tensor) -> Tensor:  # by the slot's own token alone
        return torch.arange(WORDS).float().sin() * (1 + canvas.unsqueeze(2)) * 0.1

    options = {"mask_idx": MASK, "never_predicted": torch.tensor([MASK]), "iterations": 3}
    together = refinement_costs(decode, targets, lengths, **options)  # type: ignore[arg-type]
    alone = refinement_costs(decode, targets[:1, :3], lengths[:1], **options)  # type: ignore[arg-type]
    torch.testing.assert_close(together.costs[:, :1], alone.costs)
    assert torch.equal(together.masked[:, :1], alone.masked)
