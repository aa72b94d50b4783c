"""The estimator against lmplz's own figures, against plain dictionaries, and against what must hold of it."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from nat_plugin.decoding.ngram_lm import BackoffModel, corpus_of_sentences, estimate, read_arpa, write_arpa
from nat_plugin.errors import UserError
from tests.decoding.ngram_lm.reference import Reference

# What KenLM's own tests state of the models that `lmplz --discount_fallback -o 3` makes of these two texts
# (lm/common/test_data and lm/interpolate/tune_instances_test.cc there): log10 probabilities and back-offs.
TOY_TEXTS = [["a a b a", "b a a b"], ["a a b b b b b b b", "c"]]
LMPLZ = [
    {
        ("<unk>",): (-0.90309, 0.0),
        ("a",): (-0.46943438, None),
        ("</s>",): (-0.5720968, 0.0),
        ("<s>",): (None, -0.30103),
        ("<s>", "a"): (-0.37712017, None),
    },
    {
        ("<unk>",): (-1.0, 0.0),
        ("a",): (-0.6146491, None),
        ("</s>",): (-0.6146491, 0.0),
        ("c",): (-0.7659168, -0.30103),
        ("<s>",): (None, -0.30103),
        ("<s>", "c"): (-0.4740302, -0.30103),
        ("<s>", "c", "</s>"): (-0.09113217, None),
    },
]


def random_text(seed: int, sentences: int = 40, words: int = 6, longest: int = 7) -> list[list[str]]:
    """Sentences in which words follow one another unevenly, so that counts of counts differ."""
    generator = random.Random(seed)
    weights = [1 / (rank + 1) ** 1.5 for rank in range(words)]
    return [
        [f"w{word}" for word in generator.choices(range(words), weights, k=generator.randint(1, longest))]
        for _ in range(sentences)
    ]


def model_of(text: list[list[str]], order: int, folder: Path, prune: tuple[int, ...] = ()) -> BackoffModel:
    write_arpa(estimate(corpus_of_sentences(text), order, prune), folder / "lm.arpa")
    return read_arpa(folder / "lm.arpa")


@pytest.mark.parametrize("text", [0, 1])
def test_equals_lmplz_on_its_own_test_texts(text: int, tmp_path: Path) -> None:
    model = model_of([line.split() for line in TOY_TEXTS[text]], 3, tmp_path)
    for gram, (lprob, backoff) in LMPLZ[text].items():
        ours = model.orders[len(gram) - 1][gram]
        if lprob is not None:
            assert ours[0] == pytest.approx(lprob, abs=1e-6)
        if backoff is not None:
            assert ours[1] == pytest.approx(backoff, abs=1e-6)


def test_equals_a_calculation_by_hand(tmp_path: Path) -> None:
    # Bigrams: <s> a 4, a b 3, b </s> 3, a </s> 1. Nothing is seen twice, so that all discounts are the fallbacks.
    model = model_of([["a", "b"], ["a", "b"], ["a", "b"], ["a"]], 2, tmp_path)
    # Single words: a follows {<s>}, b {a}, </s> {a, b}; total 4, D_1 = .5 twice and D_2 = 1 once free 2 of 4.
    unk, a, b = 0.5 / 4, 0.5 / 4 + 0.5 / 4, 0.5 / 4 + 0.5 / 4
    end = 1 / 4 + 0.5 / 4
    assert unk + a + b + end == 1
    expected = {
        ("<unk>", ()): unk,
        ("a", ("<s>",)): (4 - 1.5) / 4 + 1.5 / 4 * a,
        ("b", ("a",)): (3 - 1.5) / 4 + (1.5 + 0.5) / 4 * b,
        ("</s>", ("a",)): (1 - 0.5) / 4 + (1.5 + 0.5) / 4 * end,
        ("</s>", ("b",)): (3 - 1.5) / 3 + 1.5 / 3 * end,
        ("a", ("b",)): 1.5 / 3 * a,
    }
    for (word, context), probability in expected.items():
        assert 10 ** model.log10_prob(word, context) == pytest.approx(probability, rel=1e-6)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("seed", range(6))
def test_equals_plain_dictionaries(order: int, seed: int, tmp_path: Path) -> None:
    text = random_text(seed, sentences=20 + 60 * seed)
    reference, model = Reference(text, order), model_of(text, order, tmp_path)
    words = [word for word in reference.words if word != "</s>"]
    for length in range(3):
        for context in itertools.product(words, repeat=length):
            for begin in ((), ("<s>",)):
                for word in reference.words:
                    ours = 10 ** model.log10_prob(word, (*begin, *context))
                    assert ours == pytest.approx(reference.prob(word, (*begin, *context)), rel=1e-5)


def test_discounts_come_from_the_counts_where_these_give_some() -> None:
    model = estimate(corpus_of_sentences(random_text(1, sentences=400, words=30)), 3)
    assert 3 not in model.fallbacks
    assert model.discounts[2] == pytest.approx(Reference(random_text(1, sentences=400, words=30), 3).discounts[2])
    assert estimate(corpus_of_sentences([["a"]]), 3).fallbacks == [1, 2, 3]


@pytest.mark.parametrize("prune", [(), (0, 0, 1), (0, 1), (0, 1, 2, 3)])
@pytest.mark.parametrize("order", [2, 4])
def test_every_context_sums_to_one(order: int, prune: tuple[int, ...], tmp_path: Path) -> None:
    text = random_text(3, sentences=300)
    model = model_of(text, order, tmp_path, prune[:order])
    words = [gram[0] for gram in model.orders[0] if gram != ("<s>",)]
    contexts = {gram for grams in model.orders[:-1] for gram in grams if gram[-1] != "</s>"} | {("w5",) * 3}
    for context in contexts:
        assert sum(10 ** model.log10_prob(word, context) for word in words) == pytest.approx(1, abs=1e-5)


def test_pruning_leaves_out_the_rare_and_keeps_what_longer_ones_need(tmp_path: Path) -> None:
    text = random_text(4, sentences=200)
    whole, pruned = model_of(text, 3, tmp_path), model_of(text, 3, tmp_path, (0, 0, 2))
    assert len(pruned.orders[1]) == len(whole.orders[1])
    assert 0 < len(pruned.orders[2]) < len(whole.orders[2])
    strict = model_of(text, 3, tmp_path, (0, 2))
    for k in (1, 2):
        for gram in strict.orders[k]:
            assert gram[1:] in strict.orders[k - 1]
            assert gram[:-1] in strict.orders[k - 1]


def test_an_unknown_word_in_the_text_is_counted_as_a_word(tmp_path: Path) -> None:
    model = model_of([["a", "<unk>"], ["a", "b"]], 2, tmp_path)
    assert model.log10_prob("<unk>", ["a"]) == pytest.approx(model.log10_prob("b", ["a"]))
    assert model.log10_prob("never seen", ["a"]) == model.log10_prob("<unk>", ["a"])


def test_refuses_bad_input() -> None:
    corpus = corpus_of_sentences([["a", "b"]])
    with pytest.raises(UserError, match="--order must be at least 1"):
        estimate(corpus, 0)
    with pytest.raises(UserError, match="too few for one 5-gram: lower --order to 4"):
        estimate(corpus, 5)
    for prune, message in {
        (0, 2, 1): "decrease",
        (0, -1): "negative",
        (1,): "begin with 0",
        (0, 0, 0, 0): "at most one",
        (0, 1): "no 3-gram",
    }.items():
        with pytest.raises(UserError, match=message):
            estimate(corpus, 3, prune)
    with pytest.raises(UserError, match="sentence 2 holds <s>"):
        corpus_of_sentences([["a"], ["<s>"]])
    with pytest.raises(UserError, match="no sentences"):
        corpus_of_sentences([[], []])
