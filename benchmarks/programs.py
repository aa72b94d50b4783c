"""The dynamic programs by themselves, on windows of log-probabilities that are there already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from benchmarks.problems import Shape
from nat_plugin.alignments.backends import choose_backend

_WORDS = 1000


class Program(NamedTuple):
    """Attributes:
    title: its name in tables, with what a step of it is.
    run: one call.
    steps: its diagonals or slots.
    """

    title: str
    run: Callable[[], object]
    steps: int


def programs(shape: Shape, backend: str, device: str) -> dict[str, Program]:
    """AXE's paths, CTC's occupancy and CTC's best paths on random windows; CTC has three slots a target."""
    module: Any = choose_backend(torch.empty(0, device=device), backend)
    batch, n, m, wide = shape.batch, shape.targets, shape.slots, 3 * shape.targets
    generator = torch.Generator(device).manual_seed(1)
    targets = torch.randint(_WORDS, (batch, n), device=device, generator=generator)
    window, ctc_window = (
        torch.randn(batch, width, n + 1, device=device, generator=generator).log_softmax(2) for width in (m, wide)
    )
    of_targets, of_blank = window[:, :, :-1].contiguous(), window[:, :, -1].contiguous()
    slots, wide_slots, goals = (torch.full((batch,), length, device=device) for length in (m, wide, n))
    return {
        "axe_paths": Program(
            "AXE, paths (a diagonal)",
            lambda: module.axe_paths(of_targets, of_blank, slots, goals, 1.0, False),
            n + m,
        ),
        "ctc_occupancy": Program(
            "CTC, occupancy (a slot)", lambda: module.ctc_occupancy(ctc_window, targets, wide_slots, goals), wide
        ),
        "ctc_best_paths": Program(
            "CTC, Viterbi (a slot)", lambda: module.ctc_best_paths(ctc_window, targets, wide_slots, goals), wide
        ),
    }
