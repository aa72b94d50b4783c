"""scripts/tune.py: grids, the winner, what is stored, and that nothing is done twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from nat_plugin.errors import UserError
from scripts import evaluate, train_lm, tune
from tests.scripts import tiny_training


@pytest.mark.parametrize(
    ("text", "flag", "values"),
    [
        ("length_multiplier=1.00:1.10:0.05", "length_multiplier", [1.0, 1.05, 1.1]),
        ("--length-candidates=1,3", "length_candidates", [1, 3]),
        ("length_multiplier", "length_multiplier", [round(1 + place / 100, 2) for place in range(11)]),
    ],
)
def test_reads_grids(text: str, flag: str, values: list[Any]) -> None:
    assert tune.parse_grid(text) == (flag, values)


@pytest.mark.parametrize(
    "text", ["iterations", "length_multiplier=1:2", "length_multiplier=2:1:0.1", "a=1:2:0", "a=x:y:z"]
)
def test_refuses_grids_without_values(text: str) -> None:
    with pytest.raises(UserError):
        tune.parse_grid(text)


class FakeEvaluation:
    """Stands in for fairseq-generate: BLEU is highest at λ = 1.05, with a tie at 1.1."""

    calls: int = 0
    checkpoints: ClassVar[set[str | None]] = set()

    def __init__(self, run: Path, overrides: dict[str, Any], checkpoint: str | None) -> None:
        self.overrides, self.run_folder = overrides, run
        FakeEvaluation.checkpoints.add(checkpoint)
        self.stem = "valid_" + "_".join(f"{key}={value}" for key, value in overrides.items())
        self.flags = overrides
        self.checkpoint = run / "checkpoint.pt"
        self.model = type("Model", (), {"run": type("Run", (), {"folder": run})})

    def run(self, threads: int | None) -> dict[str, Any]:
        FakeEvaluation.calls += 1
        value = self.overrides["length_multiplier"]
        bleu = 20.0 if value >= 1.05 else 19.0
        row = {
            "system": "s",
            "bleu": bleu,
            "chrf": value,
            "tokenized_bleu": bleu,
            "brevity_penalty": 0.9,
            "repeated_tokens": 0.0,
            "length_ratio": value,
            "decoding": self.flags,
        }
        path = self.run_folder / "results" / f"{self.stem}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps([row]))
        return row


def test_stores_the_first_best_and_skips_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoint.pt").touch()
    (tmp_path / "tuned.json").write_text('{"length_candidates": 5}')
    planner = type(
        "Planner",
        (),
        {"plan": staticmethod(lambda run, split, checkpoint, overrides: FakeEvaluation(run, overrides, checkpoint))},
    )
    monkeypatch.setattr(tune, "Evaluation", planner)
    FakeEvaluation.calls = 0
    tune.main([str(tmp_path), "length_multiplier=1.00:1.10:0.05"])
    assert FakeEvaluation.calls == 3
    assert json.loads((tmp_path / "tuned.json").read_text()) == {"length_candidates": 5, "length_multiplier": 1.05}
    stored = json.loads((tmp_path / "results" / "tune_length_multiplier.json").read_text())
    assert stored["winner"] == {"length_multiplier": 1.05}
    assert [point["bleu"] for point in stored["curve"]] == [19.0, 20.0, 20.0]
    assert "20.00 with length_multiplier 1.05" in capsys.readouterr().out

    tune.main([str(tmp_path), "length_multiplier=1.00:1.10:0.05", "--metric", "chrf"])
    assert FakeEvaluation.calls == 3
    assert FakeEvaluation.checkpoints == {None}
    assert json.loads((tmp_path / "tuned.json").read_text())["length_multiplier"] == 1.1
    tune.main([str(tmp_path), "length_multiplier=1.00", "--checkpoint", "checkpoint_last.pt"])
    assert FakeEvaluation.checkpoints == {None, "checkpoint_last.pt"}


@pytest.mark.end_to_end
def test_tunes_a_real_ctc_run_with_one_decoding_for_all_bonuses(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("flashlight.lib.text")
    run, lm = tmp_path / "run", tmp_path / "lm.arpa"
    tiny_training.train(tiny_training.settings(tiny_data, run, "ctc"))
    train_lm.main([str(tiny_data), "--order", "2", "--output", str(lm)])
    fixed = {"ctc_beam": 5, "ngram_lm_path": str(lm), "ngram_lm_weight": 0.3, "length_bonus_form": "linear"}
    grids = [*(f"{flag}={value}" for flag, value in fixed.items()), "token_bonus=0,3"]
    tune.main([str(run), *grids, "--metric", "chrf"])
    assert json.loads((run / "tuned.json").read_text()) == {**fixed, "token_bonus": 3}
    [curve_file] = (run / "results").glob("tune_*.json")
    short, long = json.loads(curve_file.read_text())["curve"]
    assert short["brevity_penalty"] < long["brevity_penalty"]
    output = capsys.readouterr().out
    assert output.count("$ fairseq-generate") == 1
    assert f"{long['brevity_penalty']:.3f}" in output

    evaluate.main([str(run), "--split", "valid"])  # decodes with what was stored
    [row] = json.loads((run / "results" / "valid.json").read_text())
    assert row["decoding"]["token_bonus"] == 3
    assert {key: row[key] for key in tune.METRICS} == {key: long[key] for key in tune.METRICS}
