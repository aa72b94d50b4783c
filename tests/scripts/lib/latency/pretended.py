"""Systems that translate at a given speed, and a clock that only they move."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from scripts.lib.measuring import timing


class Clock:
    """Time that passes only when a system translates; ``speed`` is the machine's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.speed = 0.0, 1.0
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)


class System:
    """Says each sentence's number; ``order`` gets a line a call."""

    def __init__(self, name: str, clock: Clock, seconds: float, order: list[str], fixed: float = 0.0) -> None:
        self.name, self.clock, self.seconds, self.order, self.fixed = name, clock, seconds, order, fixed
        self.loaded, self.longest = 0, 1

    def translate(self, sample: dict[str, Any]) -> list[list[int]]:
        ids = sample["id"].tolist()
        self.order.append(f"{self.name}{','.join(map(str, ids))}")
        self.clock.now += (self.fixed + self.seconds * len(ids)) / self.clock.speed
        return [[number, len(self.name)] for number in ids]

    def batches(self, size: int) -> list[dict[str, Any]]:
        return [{"id": ids} for ids in torch.arange(10).split(size)]

    @contextmanager
    def load(self) -> Iterator[System]:
        self.loaded += 1
        yield self


def sentences(count: int) -> list[dict[str, Any]]:
    return [{"id": torch.tensor([number])} for number in range(count)]
