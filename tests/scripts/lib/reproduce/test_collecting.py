"""Figures from JSON files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nat_plugin.errors import UserError
from scripts.lib.reproduce.collecting import look_up
from scripts.lib.reproduce.recipe import Value


def test_places_differences_and_ratios(tmp_path: Path) -> None:
    path, second = tmp_path / "a.json", tmp_path / "b.json"
    path.write_text(json.dumps([{"bleu": 20.0, "count": 3, "of": 12, "name": "x"}]))
    second.write_text(json.dumps([{"bleu": 14.5, "count": 0}]))
    assert look_up(Value("s", "[0].bleu"), path, path) == 20
    assert look_up(Value("s", "[0].bleu", minus="[0].bleu"), path, second) == 5.5
    assert look_up(Value("s", "[0].count", over="[0].of"), path, path) == 0.25
    assert look_up(Value("s", "[0].bleu", over="[0].count"), path, second) is None
    assert look_up(Value("s", "[?name=='y'].bleu | [0]"), path, path) is None
    with pytest.raises(UserError, match=r"a\.json has no number at '\[0\]\.name' but 'x'"):
        look_up(Value("s", "[0].name"), path, path)
    path.write_text("{")
    with pytest.raises(UserError, match="remove it and run the recipe again"):
        look_up(Value("s", "[0].bleu"), path, path)
