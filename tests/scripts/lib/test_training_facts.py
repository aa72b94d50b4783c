"""Wall time of a training that was stopped, and what else its log says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.lib.training_facts import training_facts, wall_seconds

BEGINNING = "fairseq_cli.train | training on 1 devices (GPUs/TPUs)"


@pytest.mark.parametrize(
    ("sessions", "seconds"),
    [
        ([], 0),
        ([[]], 0),
        ([[5, 9, 12]], 12),
        ([[5, 9], [3, 7]], 16),
        ([[5, 9], [12, 14]], 23),
        ([[5, 9], [], [2]], 11),
        ([[4, 4]], 4),
    ],
)
@pytest.mark.parametrize("last_word", [0, -1, 1])
def test_wall_time_is_that_of_all_sessions(sessions: list[list[int]], seconds: int, last_word: int) -> None:
    """Where the last update is logged, too, fairseq says the end twice, not always of the same second."""
    lines = []
    for clocks in sessions:
        lines += [BEGINNING, *(f'train_inner | {{"wall": "{clock}"}}' for clock in clocks)]
    ended = bool(sessions) and bool(sessions[-1])
    if ended:
        lines.append(f"done training in {sessions[-1][-1] + last_word}.8 seconds")
    assert wall_seconds("\n".join(lines)) == seconds + (ended and max(last_word, 0))


def test_a_training_that_went_on_has_the_time_of_both_sessions(tmp_path: Path) -> None:
    """fairseq's clock says 0 all through the second."""
    first = [f'train_inner | {{"num_updates": "{updates}", "loss": "3", "wall": "{updates}"}}' for updates in (60, 120)]
    second = [f'train_inner | {{"num_updates": "{updates}", "loss": "3", "wall": "0"}}' for updates in (180, 240)]
    log = tmp_path / "train.log"
    for lines, minutes in (
        ([BEGINNING, *first, "done training in 130.9 seconds"], 130 / 60),
        ([BEGINNING, *second], 130 / 60),
    ):
        with open(log, "a", encoding="utf-8") as handle:
            handle.write("".join(f"2026-11-29 16:05:48 | INFO | {line}\n" for line in lines))
        assert training_facts(log)["training_minutes"] == pytest.approx(minutes)
    with open(log, "a", encoding="utf-8") as handle:
        handle.write("2026-11-29 16:05:48 | INFO | fairseq_cli.train | done training in 140.0 seconds\n")
    assert training_facts(log)["training_minutes"] == pytest.approx((130 + 140) / 60)


def test_a_log_for_people_says_the_parameters_alone(tmp_path: Path) -> None:
    """fairseq.log_format=simple: scripts/evaluate.py asks only when it has translated."""
    log = tmp_path / "train.log"
    log.write_text(
        "INFO | fairseq_cli.train | num. shared model params: 12,345 (num. trained: 12,345)\n"
        f"INFO | {BEGINNING} and max tokens per device = 200\n"
        "INFO | train_inner | epoch 001:      2 / 3 loss=5.5, ppl=45.3, num_updates=2, wall=7\n"
        "INFO | fairseq_cli.train | done training in 9.5 seconds\n",
        encoding="utf-8",
    )
    assert training_facts(log) == {"parameters": 12345}
    log.write_text("", encoding="utf-8")
    assert training_facts(log) == {"parameters": None}
