"""nat_plugin/analysis/principal_components.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nat_plugin.analysis.principal_components import principal_components


def rotation(dimensions: int, seed: int) -> np.ndarray:
    found, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(dimensions, dimensions)))
    return found


def cross(*lengths: float) -> np.ndarray:
    """±length on each axis: 2·D points whose variance on axis d is 2·length² / (2·D - 1)."""
    axes = np.diag(lengths)
    return np.concatenate([axes, -axes])


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_known_variances_wherever_the_axes_point(seed: int | None) -> None:
    lengths = (1.0, 4.0, 2.0)
    turn = np.eye(3) if seed is None else rotation(3, seed)
    found = principal_components(cross(*lengths) @ turn + [5.0, -3.0, 1.0])
    np.testing.assert_allclose(found.variances, [2 * 16 / 5, 2 * 4 / 5, 2 * 1 / 5])
    np.testing.assert_allclose(found.ratios, [16 / 21, 4 / 21, 1 / 21])
    np.testing.assert_allclose(found.cumulative, [16 / 21, 20 / 21, 1])
    np.testing.assert_allclose(np.abs(found.directions @ turn.T), np.eye(3)[[1, 2, 0]], atol=1e-12)


@pytest.mark.parametrize(("share", "dimensions"), [(0.5, 1), (16 / 21, 1), (0.77, 2), (20 / 21, 2), (0.96, 3), (1, 3)])
def test_as_few_components_as_hold_the_share(share: float, dimensions: int) -> None:
    assert principal_components(cross(1, 4, 2)).effective_dimension(share) == dimensions


@given(rank=st.integers(1, 5), extra=st.integers(0, 4), count=st.integers(40, 60), seed=st.integers(0, 2**32 - 1))
def test_the_rank_of_the_points_is_found_in_any_number_of_dimensions(
    rank: int, extra: int, count: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    points = generator.normal(size=(count, rank)) @ rotation(rank + extra, seed)[:rank] + generator.normal()
    found = principal_components(points.astype(np.float32))
    assert found.effective_dimension(1 - 1e-7) == rank
    assert found.effective_dimension() <= rank
    np.testing.assert_allclose(found.variances.sum(), np.var(points, axis=0, ddof=1).sum(), rtol=1e-5)
    assert (np.diff(found.variances) <= 0).all()


def test_equal_points_have_no_dimension_even_with_rounding() -> None:
    noise = np.random.default_rng(1).normal(size=(50, 4)) * 3e-7
    for points in (np.zeros((5, 4)), np.full((5, 4), 0.3), (0.3 + noise).astype(np.float32)):
        found = principal_components(points)
        assert found.effective_dimension() == 0
        assert not found.ratios.any()
    small = principal_components(1e-9 * cross(1, 4, 2))  # small is not equal
    assert small.effective_dimension() == 2


def test_fewer_points_than_dimensions() -> None:
    found = principal_components(np.array([[0.0, 0.0, 0.0, 3.0], [0.0, 0.0, 0.0, 1.0]]))
    assert found.variances.shape == (4,)
    np.testing.assert_allclose(found.variances, [2, 0, 0, 0], atol=1e-12)
    assert found.effective_dimension(1) == 1
    assert principal_components(np.ones((1, 3))).effective_dimension() == 0


@pytest.mark.parametrize(
    ("points", "reason"),
    [(np.zeros((0, 3)), "at least one"), (np.zeros(3), r"\[N, D\]"), (np.array([[1.0, np.nan]]), "finite")],
)
def test_refuses_what_is_no_cloud_of_points(points: np.ndarray, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        principal_components(points)
