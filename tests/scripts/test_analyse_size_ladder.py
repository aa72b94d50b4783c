"""scripts/analyse_size_ladder.py: sizes and scores of models, the result in words, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nat_plugin.errors import UserError
from scripts import analyse_size_ladder
from scripts.analyse_size_ladder import main, make_row, sentence
from tests.scripts.untrained_runs import load_run, make_run, read_row

SCORES = {"ladder8": 3.0, "ladder16": 6.0, "nat": 4.0}


@pytest.fixture(scope="module")
def runs(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("ladder")
    made = {"nat": make_run(tiny_data, folder / "nat", "vanilla")}
    for width in (16, 8):
        sizes = {f"{side}_embed_dim": width for side in ("encoder", "decoder")}
        made[f"ladder{width}"] = make_run(tiny_data, folder / f"ladder{width}", "teacher", **sizes)
    return made


def test_a_nat_between_two_models(
    tiny_data: Path, runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    translate, calls = analyse_size_ladder._translate, []

    def scored(evaluation: Any, sentences: int | None) -> dict[str, Any]:
        calls.append(evaluation.model.run.folder.name)
        return translate(evaluation, sentences) | {"bleu": SCORES[calls[-1]]}

    monkeypatch.setattr(analyse_size_ladder, "_translate", scored)
    ladder = [str(runs["ladder16"]), str(runs["ladder8"])]
    output = tmp_path / "rows.json"
    words = [str(runs["nat"]), "--ladder", *ladder, "--split", "valid", "--sentences", "4", "--output", str(output)]
    main(words)
    main(words)
    assert calls == ["nat", "ladder16", "ladder8"]  # once each
    row = read_row(output)
    sizes = {
        name: sum(parameter.numel() for parameter in load_run(run, tiny_data, "valid")[0].parameters())
        for name, run in runs.items()
    }
    assert [each["parameters"] for each in row["ladder"]] == [sizes["ladder8"], sizes["ladder16"]]
    assert row["ratio"] == [sizes["ladder8"] / sizes["nat"], sizes["ladder16"] / sizes["nat"]]
    assert row["ladder_bleu"] == [3.0, 6.0]
    assert row["monotone"] is True
    low, high = row["ratio"]
    assert f"an autoregressive model needs {low:.1%} to {high:.1%} of the parameters" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"ladder\d+/nat is not: see --help"):
        main([str(runs["ladder8"]), "--ladder", str(runs["nat"]), "--split", "valid", "--sentences", "4"])
    output.write_text('[{"system": "x"}]', encoding="utf-8")
    with pytest.raises(UserError, match="holds results of another script"):
        main(words)


def model(name: str, parameters: int, bleu: float, autoregressive: bool = True) -> dict[str, Any]:
    return {
        "system": name, "parameters": parameters, "bleu": bleu, "autoregressive": autoregressive, "sentences": 9,
        "checkpoint": name, "decoding": {},
    }  # fmt: skip


def test_better_or_worse_than_all() -> None:
    ladder = [model("large", 80, 20.0), model("small", 20, 10.0)]
    best = make_row(model("nat", 100, 25.0, False), ladder)
    assert best["ratio"] == [0.8, None]
    assert "the largest model, of 80.0% of the parameters, is not as good (20.00 BLEU)" in sentence(best)
    worst = make_row(model("nat", 100, 5.0, False), ladder)
    assert worst["ratio"] == [None, 0.2]
    assert "the smallest model, of 20.0% of the parameters, is as good already" in sentence(worst)
    up_and_down = make_row(model("nat", 100, 9.0, False), [*ladder, model("middle", 50, 8.0)])
    assert "a larger model is not always better here" in sentence(up_and_down)


def test_refuses_in_one_sentence() -> None:
    with pytest.raises(UserError, match="the ladder is of autoregressive models and the first run is none, but at is"):
        make_row(model("at", 9, 1.0), [model("other", 8, 2.0)])
    with pytest.raises(UserError, match="one and two have both 8 parameters"):
        make_row(model("nat", 9, 1.0, False), [model("one", 8, 2.0), model("two", 8, 3.0)])
    with pytest.raises(UserError, match="--sentences must be at least 1"):
        main(["nat", "--ladder", "at", "--sentences", "0"])
