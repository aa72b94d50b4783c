"""nat_plugin/analysis/latent_alignment.py."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nat_plugin.analysis.latent_alignment import align_latents, summarise


@given(length=st.integers(1, 8), dimensions=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
def test_finds_the_permutation_that_moved_the_positions(length: int, dimensions: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    first = 10 * np.arange(length)[:, None] + generator.normal(size=(length, dimensions))
    order = generator.permutation(length)
    second = np.empty_like(first)
    second[order] = first + 0.1 * generator.normal(size=first.shape)
    found = align_latents(first, second)
    assert found.matches.tolist() == order.tolist()
    np.testing.assert_allclose(found.to_match, np.linalg.norm(first - second[order], axis=1))
    np.testing.assert_allclose(found.to_itself, np.linalg.norm(first - second, axis=1))
    assert found.stays.tolist() == [place == index for index, place in enumerate(order)]


@given(length=st.integers(1, 6), dimensions=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_no_other_assignment_is_shorter(length: int, dimensions: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    first, second = generator.normal(size=(2, length, dimensions))
    found = align_latents(first, second)
    assert sorted(found.matches) == list(range(length))
    totals = [
        sum(float(np.linalg.norm(first[row] - second[column])) for row, column in enumerate(order))
        for order in itertools.permutations(range(length))
    ]
    assert float(found.to_match.sum()) == pytest.approx(min(totals), rel=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1.0])
def test_where_z_does_not_know_y_nothing_moves(scale: float) -> None:
    """The same z everywhere, and several equal ones: all assignments among these are equally short."""
    z = scale * np.ones((6, 3))
    assert align_latents(z, z).stays.all()
    assert align_latents(z, z + 1e-7 * scale * np.random.default_rng(1).normal(size=z.shape)).to_match.max() < 1e-6
    groups = scale * np.repeat(np.arange(3.0), 2)[:, None]
    assert align_latents(groups, groups).stays.all()


def test_the_example_of_the_paper() -> None:
    """Two positions of ten have changed places, as in Figure 6: 4-9 and 9-4."""
    z = np.random.default_rng(3).normal(size=(10, 8))
    order = [0, 1, 2, 3, 9, 5, 6, 7, 8, 4]
    found = align_latents(z, z[order])
    assert found.matches.tolist() == order
    assert found.displacements.tolist() == [0, 0, 0, 0, 5, 0, 0, 0, 0, 5]


def test_the_summary_counts_positions_by_hand() -> None:
    still = align_latents(np.array([[0.0], [10.0]]), np.array([[1.0], [10.0]]))
    swapped = align_latents(np.array([[0.0], [10.0], [20.0]]), np.array([[10.0], [0.0], [23.0]]))
    found = summarise([still, swapped])
    assert (found.sentences, found.positions) == (2, 5)
    assert found.matched_to_itself == 3 / 5
    assert found.chance == 2 / 5
    assert found.sentences_unmoved == 1 / 2
    assert found.mean_displacement == 2 / 5
    assert found.distance_to_itself == pytest.approx((1 + 0 + 10 + 10 + 3) / 5)
    assert found.distance_to_match == pytest.approx((1 + 0 + 0 + 0 + 3) / 5)
    rows = [(1 + 10) / 2, (9 + 0) / 2, (10 + 0 + 23) / 3, (0 + 10 + 13) / 3, (10 + 20 + 3) / 3]
    assert found.distance_to_any == pytest.approx(sum(rows) / 5)


def test_chance_is_the_share_of_random_assignments() -> None:
    generator = np.random.default_rng(5)
    found = summarise([align_latents(*generator.normal(size=(2, 2 + index % 9, 8))) for index in range(2000)])
    assert found.matched_to_itself == pytest.approx(found.chance, abs=0.02)


def test_refuses_what_cannot_be_aligned() -> None:
    with pytest.raises(ValueError, match=r"not \[2, 3\] and \[3, 3\]"):
        align_latents(np.zeros((2, 3)), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="finite"):
        align_latents(np.array([[np.nan]]), np.zeros((1, 1)))
    with pytest.raises(ValueError, match="no sentence"):
        summarise([])
