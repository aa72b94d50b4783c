"""Steps of a graph: one command with several results is one, and its results are noted together."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from nat_plugin.errors import UserError
from scripts.lib.reproduce.steps import Graph, Step


def step(result: Path, *needs: str, command: str = "script.py") -> Step:
    return Step(str(result), (command, "words"), result, needs, is_named=False)


def test_one_command_with_two_results_is_one_step(tmp_path: Path) -> None:
    graph = Graph()
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    graph.add(step(tmp_path / "data.json", command="data.py"))
    keys = {graph.add(step(first)), graph.add(step(second, str(tmp_path / "data.json"))), graph.add(step(first))}
    assert keys == {str(first)}
    together = graph.steps[str(first)]
    assert together.others == (second,)
    assert together.needs == (str(tmp_path / "data.json"),)

    first.write_text("1")
    together.note()
    assert together.made_at() is None
    second.write_text("2")
    together.note()
    made_at = together.made_at()
    assert made_at is not None
    later = time.time() + 5
    os.utime(second, (later, later))  # another command has written it
    assert together.made_at() is None


def test_two_commands_for_one_result_are_refused(tmp_path: Path) -> None:
    graph = Graph()
    graph.add(step(tmp_path / "result.json"))
    with pytest.raises(UserError, match=r"two commands make .*give both systems the same words"):
        graph.add(step(tmp_path / "result.json", command="other.py"))
