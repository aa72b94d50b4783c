"""Decoding options: ranges, overrides, fairseq's own flags."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fairseq.dataclass.configs import GenerationConfig

from nat_plugin.decoding.options import DecodingOptions, from_fairseq
from nat_plugin.errors import UserError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"length_multiplier": 0.0}, "--length-multiplier must be above 0"),
        ({"length_multiplier": -1.0}, "--length-multiplier must be above 0"),
        ({"length_multiplier": float("nan")}, "--length-multiplier must be above 0"),
        ({"length_candidates": 0}, "--length-candidates must be at least 1"),
        ({"iterations": 0}, "--iterations must be at least 1"),
        ({"nbest": 3, "length_candidates": 2}, "add --length-candidates 3"),
        ({"reranker": "teacher.pt"}, "--reranker has nothing to choose from: add --length-candidates"),
    ],
)
def test_refuses_values_out_of_range(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        replace(DecodingOptions(), **values).validate()


def test_eval_bleu_args_override_and_refuse_unknown_keys() -> None:
    options = DecodingOptions(length_candidates=2).override({"iterations": 4, "beam": 5})
    assert (options.iterations, options.length_candidates) == (4, 2)
    with pytest.raises(UserError, match="unknown options lenght_candidates"):
        options.override({"lenght_candidates": 3})


def test_fairseq_flags_keep_their_meaning() -> None:
    given = GenerationConfig(iter_decode_with_beam=5, iter_decode_max_iter=3, nbest=2, retain_iter_history=True)
    options = from_fairseq(DecodingOptions(), given)
    assert (options.length_candidates, options.iterations, options.nbest) == (5, 4, 2)
    assert options.retain_history
    ours_win = from_fairseq(DecodingOptions(length_candidates=3, iterations=10), given)
    assert (ours_win.length_candidates, ours_win.iterations) == (3, 10)
    assert from_fairseq(DecodingOptions(), GenerationConfig()).iterations == 1


@pytest.mark.parametrize(
    ("flag", "config"), [("--sampling", {"sampling": True}), ("--score-reference", {"score_reference": True})]
)
def test_refuses_what_does_not_apply(flag: str, config: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=flag):
        from_fairseq(DecodingOptions(), GenerationConfig(**config))
