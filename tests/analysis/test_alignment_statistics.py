"""Shares, patterns, and what the last prediction gives the targets that it is used for."""

from __future__ import annotations

import math

import pytest

from nat_plugin.analysis.alignment_statistics import ExplainedSentence, summarise_alignments
from nat_plugin.analysis.monotonic_alignment import MonotonicAlignment, Operator, Step

A, P, D = Operator.ALIGN, Operator.CLONE_PREDICTION, Operator.DELIMITER


def constant(n: int, first: float, last: float) -> ExplainedSentence:
    steps = [Step(D, 0, None), *(Step(A, i + 1, i) for i in range(n - 1)), Step(P, n - 1, n - 1)]
    probabilities = (1.0, *(1.0,) * (n - 2), first, last)
    return ExplainedSentence(MonotonicAlignment(n, n, tuple(steps)), probabilities, -math.log(first) - math.log(last))


def trivial(n: int, probability: float) -> ExplainedSentence:
    steps = tuple(Step(A, i, i) for i in range(n))
    return ExplainedSentence(MonotonicAlignment(n, n, steps), (probability,) * n, -n * math.log(probability))


def test_figure_3_of_haviv_et_al() -> None:
    """ "thank you for listening . EOS": the last prediction gives .627 to "." and .370 to EOS."""
    sentence = constant(6, 0.627, 0.370)
    assert sentence.last_clone == (0.627, 0.370)
    found = summarise_alignments([sentence], copies=1)
    assert (found.constant, found.trivial) == (1.0, 0.0)
    assert found.own_input == pytest.approx(5 / 6)
    assert found.last_prediction == {
        "sentences": 1, "share": 1.0, "first": 0.627, "last": 0.370, "both": pytest.approx(0.4985),
    }  # fmt: skip
    assert found.patterns == [{"pattern": "delimiter, align …, clone prediction", "count": 1, "share": 1.0}]
    assert found.loss == pytest.approx((-math.log(0.627) - math.log(0.370)) / 6)


def test_shares_of_several_sentences() -> None:
    found = summarise_alignments(
        [constant(4, 0.5, 0.5), trivial(2, 0.25), trivial(6, 0.5), constant(2, 0.6, 0.4)], copies=1, patterns=1
    )
    assert (found.sentences, found.targets, found.slots) == (4, 14, 14)
    assert (found.trivial, found.constant) == (0.5, 0.5)
    assert found.own_input == pytest.approx((3 + 1) / 14)
    assert found.operators["align"]["count"] == 3 + 2 + 6 + 1
    assert sum(float(each["share"] or 0) for each in found.operators.values()) == pytest.approx(1)
    assert found.operators["align"]["probability"] == pytest.approx((2 * 1 + 0.5 + 2 * 0.25 + 6 * 0.5 + 0.6) / 12)
    assert found.operators["clone target"] == {"count": 0, "share": 0, "probability": None}
    assert found.last_prediction["both"] == pytest.approx(0.5)
    assert found.last_prediction["share"] == 0.5
    assert found.patterns == [{"pattern": "align …", "count": 2, "share": 0.5}]  # of two as frequent, by name
    cost = 2 * math.log(2) + 2 * math.log(4) + 6 * math.log(2) - math.log(0.24)
    assert found.loss == pytest.approx(cost / 14)


def test_without_teacher_forcing_nothing_is_its_own_input() -> None:
    found = summarise_alignments([trivial(3, 0.5)], copies=None)
    assert found.own_input is None
    assert found.last_prediction["sentences"] == 0
    assert found.last_prediction["both"] is None


def test_a_clone_elsewhere_is_not_of_the_last_prediction() -> None:
    steps = (Step(A, 0, 0), Step(P, 0, 1), Step(D, 1, None))
    assert ExplainedSentence(MonotonicAlignment(2, 2, steps), (0.5, 0.5, 1.0), 1.4).last_clone is None


def test_no_sentence_has_no_statistics() -> None:
    with pytest.raises(ValueError, match="no sentence"):
        summarise_alignments([], copies=1)
