"""scripts/lib/comparison.py: the bootstrap is sacreBLEU's, and buckets hold the sentences that they should."""

from __future__ import annotations

import random

import pytest
import sacrebleu

from nat_plugin.errors import UserError
from scripts.lib.comparison import by_reference_length, paired_bootstrap

WORDS = [f"w{number}" for number in range(50)]


def noisy(lines: list[str], share: float, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choice(WORDS) if rng.random() < share else word for word in line.split()) for line in lines]


@pytest.fixture
def reference() -> list[str]:
    rng = random.Random(0)
    return [" ".join(rng.choices(WORDS, k=length)) for length in [*range(5, 25)] * 5]


def test_a_better_system_is_found_better_and_an_equal_one_is_not(reference: list[str]) -> None:
    base = noisy(reference, 0.3, 1)
    systems = {"base": base, "better": noisy(reference, 0.1, 2), "alike": [*noisy(base[:1], 1.0, 3), *base[1:]]}
    compared, signature = paired_bootstrap(systems, [reference], samples=200)
    assert list(compared) == list(systems)
    for name, lines in systems.items():
        assert compared[name].bleu == pytest.approx(sacrebleu.corpus_bleu(lines, [reference]).score)
        assert abs(compared[name].mean - compared[name].bleu) < compared[name].half_interval
    assert compared["base"].difference == 0
    assert compared["base"].p_value is None
    assert compared["better"].difference == pytest.approx(compared["better"].bleu - compared["base"].bleu)
    assert compared["better"].p_value == pytest.approx(1 / 201)
    assert compared["alike"].p_value is not None
    assert compared["alike"].p_value > 0.05
    assert "bs:200" in signature
    assert "seed:12345" in signature


def test_buckets_split_by_the_words_of_the_reference() -> None:
    reference = ["one two.", "a b c d e f", "a b c d e", "a b c d"]  # 3 (the stop is a word), 6, 5 and 4 words
    systems = {"same": list(reference), "broken": ["one two.", "x x x x x x", "a b c d e", "a b c d"]}
    buckets = by_reference_length(systems, [reference], [4, 6, 9])
    assert [(bucket.name, bucket.sentences) for bucket in buckets] == [("1–3", 1), ("4–5", 2), ("6–8", 1)]
    assert [bucket.bleu[0] for bucket in buckets[1:]] == [pytest.approx(100)] * 2
    assert [bucket.repeated_tokens[1] for bucket in buckets] == [0, 0, pytest.approx(5 / 6)]
    assert buckets[2].bleu[1] < 10
    assert by_reference_length(systems, [reference], [2])[0].name == "2 and more"


def test_refusals(reference: list[str]) -> None:
    two = {"a": reference, "b": reference}
    with pytest.raises(UserError, match="at least two systems"):
        paired_bootstrap({"a": reference}, [reference])
    with pytest.raises(UserError, match="b has 99 sentences but the reference has 100"):
        by_reference_length({"a": reference, "b": reference[1:]}, [reference], [10])
    with pytest.raises(UserError, match="--samples must be at least 1"):
        paired_bootstrap(two, [reference], samples=0)
    for edges in ([20, 10], [10, 10], [1]):
        with pytest.raises(UserError, match="lengths must rise"):
            by_reference_length(two, [reference], edges)
