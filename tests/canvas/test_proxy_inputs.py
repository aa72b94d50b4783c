"""The probability of masks, against enumeration of all masks and of all orders, and against what is drawn."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from nat_plugin.canvas.glancing import FirstPass, Revealing
from nat_plugin.canvas.masking import choose_slots
from nat_plugin.canvas.proxy_inputs import (
    poisson_log_probability,
    proxy_input_log_probability,
    weighted_set_log_probability,
)
from nat_plugin.canvas.schedule import Schedule

SLOTS = 6
PROBABILITIES = torch.tensor([0.9, 0.05, 1e-6, 0.5, 0.999999, 0.3])


def rule(masking: str, ratio: str = "0.5:0.3@200", **options: object) -> Revealing:
    return Revealing(masking, Schedule.parse(ratio), **options)  # type: ignore[arg-type]


def first_pass(rows: int, wrong: int = 4, slots: int = SLOTS) -> FirstPass:
    """The same first pass for all rows: the first ``wrong`` slots are."""
    proxy = torch.arange(slots).expand(rows, -1)
    predictions = proxy + (torch.arange(slots) < wrong)
    return FirstPass(proxy, predictions, PROBABILITIES[:slots].expand(rows, -1))


def all_masks(slots: int = SLOTS, padding: int = 2) -> torch.Tensor:
    """Every choice of masked slots, [2^slots, slots + padding]."""
    rows = torch.tensor(list(itertools.product([False, True], repeat=slots)))
    return torch.nn.functional.pad(rows, (0, padding))


def probability_by_orders(chosen: set[int], weights: list[float]) -> float:
    """Σ over the orders of the set of the product of the draws."""
    total = 0.0
    for order in itertools.permutations(chosen):
        probability = 1.0
        for number, place in enumerate(order):
            left = math.fsum(weight for other, weight in enumerate(weights) if other not in order[:number])
            probability *= weights[place] / left
        total += probability
    return total


RULES = [
    rule("full"),
    rule("uniform"),
    rule("fixed_ratio", "0.2"),
    rule("glancing"),
    rule("glancing", distance="levenshtein"),
    rule("glancing", choice="p_ref"),
    rule("glancing", choice="one_minus_p_ref"),
    rule("fixed_ratio", "0.5", choice="p_ref"),
    rule("glancing", count="poisson"),
    rule("glancing", "0.9", count="poisson", choice="one_minus_p_ref"),
]


@pytest.mark.parametrize("revealing", RULES, ids=str)
def test_the_probabilities_of_all_masks_sum_to_one(revealing: Revealing) -> None:
    masked = all_masks()
    lengths = torch.full((len(masked),), SLOTS)
    padded = FirstPass(*(torch.nn.functional.pad(part, (0, 2)) for part in first_pass(len(masked)) if part is not None))
    log_q = proxy_input_log_probability(revealing, masked, lengths, padded, update=100)
    assert log_q.dtype == torch.float64
    assert float(log_q.exp().sum()) == pytest.approx(1, abs=1e-9)
    assert float(log_q[0]) == -math.inf  # nothing masked


@pytest.mark.parametrize("revealing", RULES, ids=str)
def test_what_is_drawn_has_the_frequency_that_is_said(revealing: Revealing) -> None:
    draws, slots = 20_000, 4
    lengths = torch.full((draws,), slots)
    first = first_pass(draws, wrong=3, slots=slots)
    drawn = revealing.masked(lengths, slots, first, seed=3, update=100, sentence_ids=torch.arange(draws))
    masks = all_masks(slots, 0)
    log_q = proxy_input_log_probability(
        revealing, masks, lengths[: len(masks)], first_pass(len(masks), 3, slots), update=100
    )
    powers = 2 ** torch.arange(slots)
    frequency = torch.bincount((drawn * powers).sum(1), minlength=2**slots) / draws
    expected = torch.zeros(2**slots, dtype=torch.float64).index_add(0, (masks * powers).sum(1), log_q.exp())
    assert torch.all((frequency - expected).abs() < 5 * (expected * (1 - expected) / draws).sqrt() + 1e-9)


def test_the_numbers_of_masked_tokens_are_alike_and_so_are_masks_of_one_number() -> None:
    masked = torch.tensor([[True, False, False, False], [False, True, True, False], [True, True, True, True]])
    log_q = proxy_input_log_probability(rule("uniform"), masked, torch.full((3,), 4), None, update=0)
    expected = torch.tensor([1 / 4 / 4, 1 / 4 / 6, 1 / 4], dtype=torch.float64)
    torch.testing.assert_close(log_q.exp(), expected)


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e7])
def test_a_set_drawn_by_weight_against_all_orders(scale: float) -> None:
    weights = [0.5 * scale, 1e-8 * scale, 1e-3 * scale, 3.0 * scale, 1e4 * scale, 0.2 * scale, 2.0 * scale]
    chosen = all_masks(7, 0)[:-1]
    as_tensor = torch.tensor([weights] * len(chosen), dtype=torch.float64)
    found = weighted_set_log_probability(chosen, as_tensor, torch.tensor([7]))
    expected = [
        math.log(probability_by_orders({place for place in range(7) if row[place]}, weights)) for row in chosen.tolist()
    ]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-9)


def test_large_sets_of_equal_weights_are_binomial() -> None:
    slots = 1000
    counts = torch.tensor([0, 1, 3, 100, 500, 900, 999])
    chosen = torch.arange(slots) < counts.unsqueeze(1)
    found = weighted_set_log_probability(
        chosen, torch.full_like(chosen, 0.3, dtype=torch.float64), torch.tensor([slots])
    )
    expected = [-math.log(math.comb(slots, count)) for count in counts.tolist()]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-9)


def test_weights_of_nothing_are_drawn_last_and_among_themselves_alike() -> None:
    weights = torch.tensor([[0.0, 1.0, 0.0, 2.0, 0.0]])
    chosen = torch.tensor([[True, True, False, True, False]])
    found = weighted_set_log_probability(chosen, weights, torch.tensor([5]))
    assert float(found.exp()) == pytest.approx(1 / 3)
    never = weighted_set_log_probability(~chosen, weights, torch.tensor([5]))
    assert -200 < float(never) < -100


def test_padding_changes_nothing() -> None:
    weights = torch.rand(2, 5, generator=torch.Generator().manual_seed(1))
    chosen = torch.tensor([[True, False, True, True, True], [True, True, False, False, False]])
    alone = weighted_set_log_probability(chosen[:1, :3], weights[:1, :3], torch.tensor([3]))
    together = weighted_set_log_probability(chosen, weights, torch.tensor([3, 5]))
    torch.testing.assert_close(together[:1], alone)


def test_more_slots_than_sentences_can_have_choose_in_the_order_of_their_weights() -> None:
    """The clocks of the draw are those of the probability: slots of much weight are drawn, and said to be."""
    weights = torch.tensor([[1e-6, 1.0, 1e-6, 1.0]]).expand(500, -1)
    drawn = choose_slots(
        torch.full((500,), 2),
        torch.full((500,), 4),
        4,
        seed=1,
        update=0,
        sentence_ids=torch.arange(500),
        weights=weights,
    )
    assert float(drawn[:, [1, 3]].float().mean()) > 0.99
    found = weighted_set_log_probability(torch.tensor([[False, True, False, True]]), weights[:1], torch.tensor([4]))
    assert float(found.exp()) > 0.99


def test_poisson_counts_that_do_not_fit_count_as_the_largest() -> None:
    counts = torch.arange(5)
    found = poisson_log_probability(counts, torch.full((5,), 2.5, dtype=torch.float64), torch.full((5,), 3))
    exact = [math.exp(-2.5) * 2.5**k / math.factorial(k) for k in range(3)]
    expected = torch.tensor([*exact, 1 - sum(exact), 0.0], dtype=torch.float64)
    torch.testing.assert_close(found.exp(), expected)
    nothing = poisson_log_probability(counts[:2], torch.zeros(2, dtype=torch.float64), torch.full((2,), 3))
    assert nothing.exp().tolist() == [1, 0]
    single = poisson_log_probability(counts[:1], torch.tensor([4.0], dtype=torch.float64), torch.zeros(1).long())
    assert single.tolist() == [0]


def test_refuses_sets_of_neighbours() -> None:
    with pytest.raises(ValueError, match="sets of neighbours"):
        proxy_input_log_probability(
            rule("uniform", span=2), torch.ones(1, 2, dtype=torch.bool), torch.tensor([2]), None, update=0
        )
