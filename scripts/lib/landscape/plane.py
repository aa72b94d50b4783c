"""The plane through three checkpoints of one shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from nat_plugin.errors import UserError
from scripts.lib.averaging import check_same_parameters, load_checkpoint


class Plane:
    """θ(a, b) = θ0 + a·(θ1 - θ0) + b·(θ2 - θ0).

    Args:
        checkpoints: those of θ0, θ1 and θ2.

    Raises:
        UserError: they are no checkpoints of one shape, or all lie on one line.
    """

    def __init__(self, checkpoints: Sequence[Path]) -> None:
        states = [load_checkpoint(path)["model"] for path in checkpoints]
        for path, state in zip(checkpoints[1:], states[1:], strict=True):
            remedy = "name three checkpoints of one architecture and size"
            check_same_parameters(states[0], state, checkpoints[0], path, remedy)
        self._origin: dict[str, Tensor] = states[0]
        self._axes = [
            {name: state[name].float() - value.float() for name, value in self._origin.items() if _moves(value)}
            for state in states[1:]
        ]
        first, second = (math.sqrt(_product(axis, axis)) for axis in self._axes)
        self.distances = (first, second)
        """|θ1 - θ0| and |θ2 - θ0|."""
        self.cosine = _product(*self._axes) / (first * second) if first and second else 1.0
        """Of the angle between the two directions."""
        if abs(self.cosine) > 1 - 1e-6:
            raise UserError(
                f"{', '.join(map(str, checkpoints))} lie on one line, which is no plane: name three different models."
            )

    def at(self, a: float, b: float) -> dict[str, Tensor]:
        """The parameters of a point; whole numbers among them, such as counters, are those of θ0."""
        first, second = self._axes
        return {
            name: (value.float() + a * first[name] + b * second[name]).to(value.dtype) if name in first else value
            for name, value in self._origin.items()
        }


def _moves(value: Any) -> bool:
    return bool(value.is_floating_point())


def _product(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    return sum(float((first[name].double() * second[name].double()).sum()) for name in first)
