"""scripts/lib/parts.py: who does what, as the command line, torchrun or SLURM say."""

from __future__ import annotations

import pytest

from nat_plugin.errors import UserError
from scripts.lib.parts import Part, find_part

SLURM = {"SLURM_STEP_NUM_TASKS": "16", "SLURM_STEP_NUM_NODES": "2", "SLURM_PROCID": "9", "SLURM_LOCALID": "1"}


@pytest.mark.parametrize(
    ("given", "environment", "expected"),
    [
        (None, {}, Part()),
        ("2/3", {}, Part(1, 3)),
        ("2/3", SLURM, Part(1, 3)),
        (None, {"RANK": "9", "WORLD_SIZE": "16", "LOCAL_RANK": "1"}, Part(9, 16, 1)),
        (None, SLURM, Part(9, 16, 1)),
        (None, SLURM | {"SLURM_STEP_NUM_NODES": "16"}, Part(9, 16)),
        (None, {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, Part()),
    ],
)
def test_the_command_line_wins_over_the_launcher(
    given: str | None, environment: dict[str, str], expected: Part
) -> None:
    assert find_part(given, environment) == expected


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
def test_parts_cover_each_piece_once(count: int) -> None:
    pieces = [piece for number in range(count) for piece in Part(number, count).pieces(12)]
    assert sorted(pieces) == list(range(12))
    assert Part(0, count).is_all == (count == 1)


@pytest.mark.parametrize("given", ["2", "0/3", "4/3", "a/b", "1/2/3", ""])
def test_anything_else_is_refused(given: str) -> None:
    with pytest.raises(UserError, match="is no part"):
        find_part(given, {})
