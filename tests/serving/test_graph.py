"""The module that is exported says what the generator says."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nat_plugin.decoding.options import DecodingOptions
from nat_plugin.errors import UserError
from nat_plugin.serving.graph import check_exportable
from tests.serving.models import CASES, Case


@pytest.fixture(scope="module", params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


@given(lengths=st.lists(st.integers(1, 24), min_size=1, max_size=5), seed=st.integers(0, 100))
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])  # of a machine that others use too
def test_as_the_generator(case: Case, lengths: list[int], seed: int) -> None:
    source = case.batch(lengths, seed)
    with torch.no_grad():
        tokens, sizes, scores = case.graph(source)
    for row, (said, score) in enumerate(case.expected(source)):
        assert tokens[row, : sizes[row]].tolist() == said
        assert (tokens[row, sizes[row] :] == case.dictionary.pad()).all()
        assert float(scores[row]) == pytest.approx(score, abs=1e-5)


def test_the_model_itself_is_left_as_it_was(case: Case) -> None:
    positions = type(case.model.encoder.embed_positions)
    shared = case.model.decoder.output_projection.weight is case.model.decoder.embed_tokens.weight
    graph = case.graph
    assert type(case.model.encoder.embed_positions) is positions
    assert (case.model.decoder.output_projection.weight is case.model.decoder.embed_tokens.weight) == shared
    assert graph.longest_source == case.model.max_positions()[0]


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        (DecodingOptions(iterations=4), "--iterations 4 cannot be exported.*iterations=1"),
        (DecodingOptions(reranker="t.pt", length_candidates=3), r"--reranker t\.pt cannot be exported"),
        (DecodingOptions(input_sampling=True, vanilla_nat="v.pt"), "--input-sampling True cannot be exported"),
    ],
)
def test_refuses_what_is_not_one_pass(options: DecodingOptions, flag: str) -> None:
    with pytest.raises(UserError, match=flag):
        check_exportable(options)


def test_takes_what_means_nothing_in_one_pass() -> None:
    check_exportable(DecodingOptions(stop_when_unchanged=True, remask_neighbours=True))
