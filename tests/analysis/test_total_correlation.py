"""Conditional total correlation: costs against a slow reference, standard errors against simulation, a toy corpus."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from nat_plugin.analysis.total_correlation import sentence_costs, total_correlation
from nat_plugin.symbols import word_ids
from tests import helpers
from tests.criterions.test_teacher_forcing import task as translation_task
from tests.criterions.test_teacher_forcing import transformer


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_costs_are_those_of_a_slow_reference(dtype: torch.dtype) -> None:
    logits = torch.randn(3, 5, 7).to(dtype)
    tokens = torch.randint(2, 7, (3, 5))
    lengths = torch.tensor([5, 1, 3])
    tokens[1, 1:] = 0  # padding, which is never said
    costs = sentence_costs(logits, tokens, lengths, torch.tensor([0, 1]))
    for row, length in enumerate(lengths.tolist()):
        expected = 0.0
        for place in range(length):
            scores = logits[row, place].double().tolist()
            total = sum(math.exp(score) for score in scores[2:])
            expected -= math.log(math.exp(scores[tokens[row, place]]) / total)
        assert float(costs[row]) == pytest.approx(expected, rel=1e-6)
        alone = sentence_costs(
            logits[row : row + 1, :length], tokens[row : row + 1, :length], lengths[row : row + 1], torch.tensor([0, 1])
        )
        assert float(alone) == pytest.approx(float(costs[row]), rel=1e-6)


def test_all_sentences_of_a_length_have_a_probability_of_1_together() -> None:
    """So that the costs are those of a distribution over what an entropy is about, whatever P(end marker) is."""
    logits = torch.randn(1, 2, 5)
    logits[..., 0] = 10.0  # the end marker is by far the most probable
    pairs = torch.cartesian_prod(torch.arange(1, 5), torch.arange(1, 5))
    costs = sentence_costs(logits.expand(len(pairs), 2, 5), pairs, torch.full((len(pairs),), 2), torch.tensor([0]))
    assert float((-costs).exp().sum()) == pytest.approx(1, abs=1e-6)


def test_the_standard_error_is_that_of_repeated_samples() -> None:
    """Long sentences differ by more, and tokens within a sentence are correlated: neither may fool it."""
    generator = torch.Generator().manual_seed(1)
    repeats, count = 600, 200
    lengths = torch.randint(3, 30, (repeats, count), generator=generator).double()
    of_sentence = torch.randn(repeats, count, generator=generator).double()
    at_costs = 2.0 * lengths
    nat_costs = at_costs + math.log(2) * (1.5 * lengths + 0.3 * of_sentence * lengths)
    found = [total_correlation(nat_costs[each], at_costs[each], lengths[each]) for each in range(repeats)]
    estimates = torch.tensor([each.per_token for each in found])
    assert float(estimates.mean()) == pytest.approx(1.5, abs=4 * float(estimates.std()) / math.sqrt(repeats))
    mean_error = sum(each.per_token_se for each in found) / repeats
    assert mean_error == pytest.approx(float(estimates.std()), rel=0.1)
    within = (estimates - 1.5).abs() < 1.96 * torch.tensor([each.per_token_se for each in found])
    assert 0.91 < float(within.double().mean()) < 0.98
    sentences = torch.tensor([each.per_sentence for each in found])
    assert sum(each.per_sentence_se for each in found) / repeats == pytest.approx(float(sentences.std()), rel=0.1)


def test_sums_and_units() -> None:
    bits = math.log(2)
    found = total_correlation(bits * torch.tensor([6.0, 20.0]), bits * torch.tensor([4.0, 10.0]), torch.tensor([2, 4]))
    assert (found.per_token, found.per_sentence) == (pytest.approx(2.0), pytest.approx(6.0))
    assert (found.nat_cost, found.at_cost) == (pytest.approx(26 / 6), pytest.approx(14 / 6))
    assert (found.sentences, found.tokens) == (2, 6)
    with pytest.raises(ValueError, match="two sentences"):
        total_correlation(torch.ones(1), torch.ones(1), torch.ones(1))


def train(model: torch.nn.Module, step: Any, updates: int) -> None:
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for update in range(updates):
        model.set_num_updates(update)
        optimiser.zero_grad()
        step().backward()
        optimiser.step()
    model.eval()


def test_a_vanilla_nat_mixes_the_toy_corpus_and_loses_one_bit() -> None:
    """Gu & Kong 2021, Figure 2: of {AB, BA}, equally likely, cross entropy makes AA, AB, BA, BB at 25 % each."""
    nat_task, at_task = helpers.task(), translation_task()
    source, a, b = [5], 1, 2
    data = helpers.dataset(nat_task, [(source, [a, b]), (source, [b, a])] * 4)
    sample = helpers.batch(data)
    nat = helpers.model(nat_task, masking="full", init="xavier")
    criterion = helpers.criterion("nat_cross_entropy", nat_task)
    train(nat, lambda: criterion(nat, sample)[0] / 16, 120)
    at = transformer(at_task)
    target = sample["target"]

    def teacher_forced() -> torch.Tensor:
        logits, _ = at(**sample["net_input"])
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())

    train(at, teacher_forced, 120)

    dictionary = nat_task.target_dictionary
    said = word_ids(dictionary)
    never = torch.tensor([index for index in range(len(dictionary)) if index not in said])
    first, tokens = dictionary.index("w0"), target[:, :-1]
    lengths = torch.full((len(tokens),), 2)
    with torch.no_grad():
        encoder_out = nat.encode(sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"])
        nat_logits = nat.decode_canvas(torch.full_like(tokens, nat_task.mask_idx), lengths, encoder_out)
        at_logits = at(**sample["net_input"])[0][:, :-1]
    probabilities = nat_logits[0].softmax(-1)[:, [first + a, first + b]]
    outputs = probabilities[0].unsqueeze(1) * probabilities[1].unsqueeze(0)
    assert outputs.flatten().tolist() == pytest.approx([0.25] * 4, abs=0.01)
    found = total_correlation(
        sentence_costs(nat_logits, tokens, lengths, never), sentence_costs(at_logits, tokens, lengths, never), lengths
    )
    assert found.per_sentence == pytest.approx(1, abs=0.03)
    assert found.per_token == pytest.approx(0.5, abs=0.015)
