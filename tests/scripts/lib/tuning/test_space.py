"""Flags and their values: lists, ranges, and what a sampler draws from."""

from __future__ import annotations

from typing import Any

import pytest

from nat_plugin.errors import UserError
from scripts.lib.tuning.space import DEFAULT_VALUES, Listed, Space, Span, identity, parse_dimension, parse_grid


@pytest.mark.parametrize(
    ("text", "flag", "values"),
    [
        ("length_multiplier=1.00:1.10:0.05", "length_multiplier", [1.0, 1.05, 1.1]),
        ("--length-candidates=1,3", "length_candidates", [1, 3]),
        ("length_candidates=1:5:2", "length_candidates", [1, 3, 5]),
        ("length_multiplier", "length_multiplier", [round(1 + place / 100, 2) for place in range(11)]),
        ("deduplicate", "deduplicate", [False, True]),
        ("data.candidate_weights=[1,2],[.7,1.3]", "data.candidate_weights", ["[1,2]", "[.7,1.3]"]),
        ("fairseq.lr=1e-3,5e-4,1e-3", "fairseq.lr", [0.001, 0.0005]),
        ("reranker=a/averaged.pt,nan", "reranker", ["a/averaged.pt", "nan"]),
    ],
)
def test_reads_values(text: str, flag: str, values: list[Any]) -> None:
    found = parse_grid(text)
    assert found == (flag, values)
    assert [type(value) for value in found[1]] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nbest", "names no values"),
        ("length_multiplier=1:2", "has no step"),
        ("length_multiplier=2:1:0.1", "empty range"),
        ("a=1:2:0", "empty range"),
        ("a=x:y:z", "is no range"),
        ("a=1:2:3:4", "is no range"),
        ("a=1:inf:1", "is no range"),
        ("a=0:1:log", "empty range"),
        ("a=1,,2", "empty value"),
    ],
)
def test_refuses_what_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_grid(text)


def test_every_flag_with_values_of_its_own_is_read() -> None:
    assert all(isinstance(parse_dimension(flag), Listed) for flag in DEFAULT_VALUES)


def test_a_span_is_of_whole_numbers_or_of_digits_that_matter() -> None:
    whole, even, logarithmic = map(parse_dimension, ("a=1:9", "b=1.0:1.2", "c=1e-4:1e-2:log"))
    assert isinstance(whole, Span)
    assert (whole.first, type(whole.first), whole.settle(3)) == (1, int, 3)
    assert even.settle(1.0637281) == 1.0637
    assert even.settle(1.19999999) == 1.2
    assert logarithmic.settle(0.00123456) == 0.00123


def test_all_combinations_in_order() -> None:
    space = Space.parse(["a=1,2", "b=x,y"], "grid")
    assert list(space.combinations()) == [{"a": a, "b": b} for a in (1, 2) for b in ("x", "y")]
    assert space.first() == {"a": 1, "b": "x"}
    assert space.place({"a": 2, "b": "x"}, "a") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [(["a=1,2", "a=3"], "a is given twice"), (["b=1:2"], "b has a range without a step.*--sampler tpe")],
)
def test_refuses_what_is_no_grid(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Space.parse(words, "grid")


def test_a_number_a_float_and_a_word_are_different_combinations() -> None:
    assert len({identity({"a": value}) for value in (1, 1.0, True, "1")}) == 4
