"""Glancing: distances, counts and choices against loops and known distributions, and the same in any batch."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nat_plugin.canvas.glancing import (
    FirstPass,
    Revealing,
    hamming_distance,
    levenshtein_distance,
    poisson_counts,
    probabilities_of,
)
from nat_plugin.canvas.masking import choose_slots
from nat_plugin.canvas.schedule import Schedule
from nat_plugin.padding import length_mask

SENTENCES = st.lists(
    st.tuples(st.lists(st.integers(0, 3), max_size=7), st.lists(st.integers(0, 3), max_size=7)), min_size=1, max_size=5
)
HALF = Schedule(0.5, 0.5)


def padded(sentences: list[list[int]], extra: int = 0) -> tuple[Tensor, Tensor]:
    """[B, m] and lengths; what is beyond a sentence equals nothing but could be taken for a token."""
    width = max(map(len, sentences)) + extra
    rows = [sentence + [1 + row % 2] * (width - len(sentence)) for row, sentence in enumerate(sentences)]
    return torch.tensor(rows, dtype=torch.int64).view(len(rows), width), torch.tensor([len(row) for row in sentences])


def edit_distance(first: list[int], second: list[int]) -> int:
    """The recursion as it stands in the books."""
    if not first or not second:
        return len(first) + len(second)
    return min(
        edit_distance(first[1:], second) + 1,
        edit_distance(first, second[1:]) + 1,
        edit_distance(first[1:], second[1:]) + (first[0] != second[0]),
    )


@given(SENTENCES, st.integers(0, 2))
def test_levenshtein_is_the_recursion(sentences: list[tuple[list[int], list[int]]], extra: int) -> None:
    first, first_lengths = padded([pair[0] for pair in sentences], extra)
    second, second_lengths = padded([pair[1] for pair in sentences])
    got = levenshtein_distance(first, second, first_lengths, second_lengths)
    assert got.tolist() == [edit_distance(*pair) for pair in sentences]


@given(SENTENCES, st.integers(0, 2))
def test_hamming_counts_the_places_that_differ(sentences: list[tuple[list[int], list[int]]], extra: int) -> None:
    pairs = [(one[: len(other)], other[: len(one)]) for one, other in sentences]
    first, lengths = padded([pair[0] for pair in pairs], extra)
    second, _ = padded([pair[1] for pair in pairs], extra)
    expected = [sum(left != right for left, right in zip(*pair, strict=True)) for pair in pairs]
    assert hamming_distance(first, second, lengths).tolist() == expected


def test_a_shifted_prediction_is_near_for_levenshtein_alone() -> None:
    tokens = torch.arange(10).unsqueeze(0)
    shifted, lengths = tokens.roll(1, 1), torch.tensor([10])
    assert hamming_distance(shifted, tokens, lengths).tolist() == [10]
    assert levenshtein_distance(shifted, tokens, lengths, lengths).tolist() == [2]


def test_poisson_counts_are_poisson() -> None:
    uniform = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    for mean in (0.0, 0.3, 4.0, 150.0):
        expected, outcome, probability, below = [], 0, math.exp(-mean), math.exp(-mean)
        for value in uniform.tolist():
            while below <= value:
                outcome += 1
                probability *= mean / outcome
                below += probability
            expected.append(outcome)
        assert poisson_counts(torch.full_like(uniform, mean), uniform, 400).tolist() == expected
    assert poisson_counts(torch.tensor([50.0]).double(), torch.tensor([0.9]).double(), 7).tolist() == [7]


def rule(**options: object) -> Revealing:
    return Revealing(**{"masking": "glancing", "ratio": HALF, **options})  # type: ignore[arg-type]


def first_pass(count: int, width: int, wrong: int, seed: int = 0) -> FirstPass:
    """Predictions whose first ``wrong`` places are wrong, and random probabilities."""
    generator = torch.Generator().manual_seed(seed)
    proxy = torch.randint(0, 9, (count, width), generator=generator)
    predictions = proxy + (torch.arange(width) < wrong)
    return FirstPass(proxy, predictions, torch.rand(count, width, generator=generator))


def hidden(
    chosen: Revealing, lengths: Tensor, width: int, first: FirstPass | None, ids: Tensor, update: int = 3
) -> Tensor:
    return chosen.masked(lengths, width, first, seed=1, update=update, sentence_ids=ids)


@pytest.mark.parametrize(("wrong", "expected"), [(0, 0), (1, 0), (5, 2), (8, 4)])
def test_half_of_the_wrong_tokens_are_revealed(wrong: int, expected: int) -> None:
    lengths = torch.full((40,), 8)
    masked = hidden(rule(), lengths, 9, first_pass(40, 9, wrong), torch.arange(40))
    assert (8 - masked.sum(1)).tolist() == [expected] * 40
    assert not masked[:, 8].any()
    if expected:
        assert ((~masked[:, :8]).float().mean(0) - expected / 8).abs().max() < 0.3, "any slot may be revealed"


def test_the_ratio_follows_its_schedule() -> None:
    lengths, first = torch.full((3,), 10), first_pass(3, 10, 10)
    falling = rule(ratio=Schedule.parse("0.5:0.3@200"))
    for update, expected in ((0, 5), (100, 4), (200, 3), (999, 3)):
        assert (10 - hidden(falling, lengths, 10, first, torch.arange(3), update).sum(1)).tolist() == [expected] * 3


def test_one_slot_stays_hidden_whatever_is_drawn() -> None:
    lengths = torch.tensor([1, 2, 5]).repeat(300)
    first, ids = first_pass(900, 5, 5), torch.arange(900)
    for chosen in (rule(ratio=Schedule(1, 1)), rule(ratio=Schedule(1, 1), count="poisson")):
        masked = hidden(chosen, lengths, 5, first, ids)
        assert masked.sum(1).min() == 1
        assert not (masked & ~length_mask(lengths, 5)).any()


def test_poisson_counts_vary_around_the_ratio() -> None:
    lengths, ids = torch.full((20_000,), 40), torch.arange(20_000)
    revealed = 40 - hidden(rule(count="poisson"), lengths, 40, first_pass(20_000, 40, 8), ids).sum(1)
    assert revealed.float().mean().item() == pytest.approx(4, abs=0.05)
    assert revealed.float().var().item() == pytest.approx(4, abs=0.2)
    assert (revealed == 0).float().mean().item() == pytest.approx(math.exp(-4), abs=0.005), "no glancing is among them"


def test_a_fixed_ratio_needs_no_first_pass_and_levenshtein_is_used() -> None:
    lengths = torch.tensor([5, 10, 100])
    fixed = rule(masking="fixed_ratio", ratio=Schedule(0.29, 0.29))
    assert not fixed.by_prediction
    assert (lengths - hidden(fixed, lengths, 100, None, torch.arange(3)).sum(1)).tolist() == [1, 2, 29]
    tokens = torch.arange(10).unsqueeze(0)
    shifted = FirstPass(tokens, tokens.roll(1, 1), None)
    ten, one = torch.tensor([10]), torch.tensor([0])
    assert int(hidden(rule(distance="levenshtein"), ten, 10, shifted, one).sum()) == 9
    assert int(hidden(rule(distance="hamming"), ten, 10, shifted, one).sum()) == 5


@pytest.mark.parametrize("choice", ["p_ref", "one_minus_p_ref"])
def test_the_choice_is_proportional_to_the_probability(choice: str) -> None:
    """With one slot revealed the shares are the weights; with more, those of draws one after the other."""
    probabilities = torch.tensor([0.1, 0.3, 0.0, 0.9, 0.7])
    count = 40_000
    first = FirstPass(torch.zeros(count, 5).long(), torch.ones(count, 5).long(), probabilities.expand(count, 5))
    weights = probabilities if choice == "p_ref" else 1 - probabilities
    masked = hidden(
        rule(choice=choice, ratio=Schedule(0.2, 0.2)), torch.full((count,), 5), 5, first, torch.arange(count)
    )
    torch.testing.assert_close((~masked).float().mean(0), weights / weights.sum(), rtol=0, atol=0.01)
    two = choose_slots(
        torch.full((count,), 2),
        torch.full((count,), 5),
        5,
        seed=1,
        update=2,
        sentence_ids=torch.arange(count),
        weights=weights.expand(count, 5),
    )
    shares = weights / weights.sum()
    second = torch.stack([sum(shares[i] * shares[j] / (1 - shares[i]) for i in range(5) if i != j) for j in range(5)])
    torch.testing.assert_close(two.float().mean(0), shares + second, rtol=0, atol=0.01)


def test_slots_without_weight_are_taken_last_but_taken() -> None:
    weights = torch.tensor([[0.0, 1.0, 0.0, 0.0]]).expand(2000, 4)
    drawn = choose_slots(
        torch.full((2000,), 2),
        torch.full((2000,), 4),
        4,
        seed=1,
        update=1,
        sentence_ids=torch.arange(2000),
        weights=weights,
    )
    assert drawn.sum(1).tolist() == [2] * 2000
    assert drawn[:, 1].all()
    assert ((drawn.float().mean(0)[[0, 2, 3]] - 1 / 3).abs() < 0.05).all()


@given(
    ids=st.lists(st.integers(0, 2**40), min_size=1, max_size=5, unique=True),
    padding=st.integers(0, 4),
    masking=st.sampled_from(["full", "uniform", "fixed_ratio", "glancing"]),
    distance=st.sampled_from(["hamming", "levenshtein"]),
    count=st.sampled_from(["floor", "poisson"]),
    choice=st.sampled_from(["uniform", "p_ref", "one_minus_p_ref"]),
)
def test_a_sentence_is_shown_the_same_in_any_batch(
    ids: list[int], padding: int, masking: str, distance: str, count: str, choice: str
) -> None:
    chosen = rule(masking=masking, distance=distance, count=count, choice=choice)
    lengths = torch.tensor([1 + sentence % 9 for sentence in ids])
    width = int(lengths.max())
    generator = torch.Generator().manual_seed(ids[0] % 1000)
    proxy, predictions = (torch.randint(0, 3, (len(ids), width + padding), generator=generator) for _ in range(2))
    probabilities = torch.rand(len(ids), width + padding, generator=generator)
    together = hidden(chosen, lengths, width + padding, FirstPass(proxy, predictions, probabilities), torch.tensor(ids))
    for row, sentence in enumerate(ids):
        n = int(lengths[row])
        first = FirstPass(*(part[row : row + 1, :n] for part in (proxy, predictions, probabilities)))
        alone = hidden(chosen, lengths[row : row + 1], n, first, torch.tensor([sentence]))
        assert together[row, :n].tolist() == alone[0].tolist()
        assert not together[row, n:].any()
        assert together[row].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_probabilities_are_those_of_the_softmax(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nat_plugin.canvas.glancing._LOGITS_AT_ONCE", 40)  # several pieces
    logits = (4 * torch.randn(3, 4, 17)).to(dtype)
    tokens = torch.randint(0, 17, (3, 4))
    expected = logits.float().softmax(-1).gather(2, tokens.unsqueeze(2)).squeeze(2)
    torch.testing.assert_close(probabilities_of(logits, tokens), expected)
