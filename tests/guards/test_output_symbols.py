"""fairseq's ordinary generator: what is left of a hypothesis that says ``<blank>`` and ``<mask>``."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fairseq.data import Dictionary

import nat_plugin
from tests import helpers

nat_plugin.register()

from fairseq.sequence_generator import SequenceGenerator  # noqa: E402

from nat_plugin.guards.output_symbols import _guarded_generation  # noqa: E402


class Generator:
    """Has the dictionary of a generator, and finds what it is told."""

    def __init__(self, dictionary: Dictionary, found: list[list[dict[str, Any]]]) -> None:
        self.tgt_dict, self.found = dictionary, found

    def generate(self) -> list[list[dict[str, Any]]]:
        result: list[list[dict[str, Any]]] = _guarded_generation(lambda generator: generator.found)(self)
        return result


def hypothesis(dictionary: Dictionary, text: str, with_attention: bool = True) -> dict[str, Any]:
    tokens = dictionary.encode_line(text, add_if_not_exist=False).long()
    scores = -torch.arange(1.0, len(tokens) + 1)
    attention = scores.repeat(3, 1) if with_attention else torch.empty(0)
    return {"tokens": tokens, "score": scores.sum(), "positional_scores": scores, "attention": attention}


@pytest.mark.parametrize("with_attention", [True, False])
def test_blanks_and_masks_leave_with_their_scores(with_attention: bool) -> None:
    dictionary = helpers.dictionary()
    texts = [["w1 <blank> w2", "<blank> <blank>"], ["w3 w4", "<mask> w5 <blank>"]]
    made = [[hypothesis(dictionary, text, with_attention) for text in of_sentence] for of_sentence in texts]
    before = [[float(entry["score"]) for entry in of_sentence] for of_sentence in made]
    found = Generator(dictionary, made).generate()
    assert [[dictionary.string(entry["tokens"]) for entry in each] for each in found] == [
        ["w1 w2", ""],
        ["w3 w4", "w5"],
    ]
    assert all(entry["tokens"][-1] == dictionary.eos() for each in found for entry in each)
    assert [entry["positional_scores"].tolist() for each in found for entry in each] == [
        [-1, -3, -4], [-3], [-1, -2, -3], [-2, -4]
    ]  # fmt: skip
    assert [[float(entry["score"]) for entry in each] for each in found] == before
    for entry in (entry for each in found for entry in each):
        if with_attention:
            assert torch.equal(entry["attention"], entry["positional_scores"].repeat(3, 1))


def test_nothing_is_done_without_our_symbols_or_without_sentences() -> None:
    plain = Dictionary()
    plain.add_symbol("w1")
    tokens = hypothesis(plain, "w1 w1")["tokens"]
    assert torch.equal(Generator(plain, [[hypothesis(plain, "w1 w1")]]).generate()[0][0]["tokens"], tokens)
    assert Generator(helpers.dictionary(), []).generate() == []


def test_the_guard_is_in_place() -> None:
    assert SequenceGenerator._generate.is_guard
