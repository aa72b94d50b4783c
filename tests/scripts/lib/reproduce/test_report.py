"""What a table says about its order."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from scripts.lib.reproduce.catalogue import load_recipe
from scripts.lib.reproduce.report import Table


def test_of_many_swapped_pairs_some_are_named(tmp_path: Path) -> None:
    recipe = load_recipe("axe_table7")
    scale: Any = SimpleNamespace(results=tmp_path, raw=SimpleNamespace(name="d"), size="tiny", budget="cpu")
    rows = [
        {"row": key, "seed": 1, "tokenized_bleu": -figures[0], "paper": {"tokenized_bleu": figures[0]}}
        for key, row in recipe.rows.items()
        if (figures := row.paper["tokenized_bleu"])[0] is not None
    ]
    [sentence] = Table(recipe, scale, rows, "command").sentences()
    assert sentence.count(" > ") == 5
    pairs = sum(one["tokenized_bleu"] != other["tokenized_bleu"] for one, other in itertools.combinations(rows, 2))
    assert f"; {pairs - 5} more pairs stand the other way round here" in sentence
    few = Table(recipe, scale, rows[:3], "command").sentences()
    assert "more pairs" not in few[0]
