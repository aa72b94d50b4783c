"""How many directions a cloud of points really uses: Figure 5 of Gu & Kong 2021, for a model's latent variables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA

EFFECTIVE_SHARE = 0.95
"""Of the total variance, which the effective dimensions hold at least (Gu & Kong 2021, §4.3)."""

# Points that are equal but for their float32 arithmetic vary by less than this share of their size.
_ROUNDING = 1e-5
# Shares that add up to the wanted one but for their float64 arithmetic.
_SLACK = 1e-9


@dataclass(frozen=True)
class PrincipalComponents:
    """PCA of N points in D dimensions.

    Attributes:
        variances: [D] float64, those of the components, largest first; zeros where N ≤ D leaves fewer. Divided by N-1.
        directions: [D, D] float64, a unit vector a row; rows of zeros likewise.
    """

    variances: np.ndarray
    directions: np.ndarray

    @property
    def ratios(self) -> np.ndarray:
        """[D], each component's share of the total variance; zeros where nothing varies."""
        total = self.variances.sum()
        shares: np.ndarray = self.variances / total if total > 0 else np.zeros_like(self.variances)
        return shares

    @property
    def cumulative(self) -> np.ndarray:
        """[D], the share of each component and all before it."""
        return np.cumsum(self.ratios)

    def effective_dimension(self, share: float = EFFECTIVE_SHARE) -> int:
        """How few components hold at least ``share`` of the variance; 0 where nothing varies."""
        if not self.variances.any():
            return 0
        return int(np.searchsorted(self.cumulative, share - _SLACK)) + 1


def principal_components(points: np.ndarray) -> PrincipalComponents:
    """PCA of ``points`` [N, D], each of weight 1.

    Points that differ by no more than the rounding of single precision count as equal: a posterior that always says the
    same has no dimension, not D of noise.

    Raises:
        ValueError: no point, not two axes, or a number that is not finite.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or not points.size:
        raise ValueError(f"points must be [N, D] with at least one of each, not {list(points.shape)}")
    if not np.isfinite(points).all():
        raise ValueError("points must be finite")
    dimensions = points.shape[1]
    variances, directions = np.zeros(dimensions), np.zeros((dimensions, dimensions))
    if np.ptp(points, axis=0).max() <= _ROUNDING * np.abs(points).max():
        return PrincipalComponents(variances, directions)
    found = PCA().fit(points)
    variances[: len(found.explained_variance_)] = found.explained_variance_
    directions[: len(found.components_)] = found.components_
    return PrincipalComponents(variances, directions)
