"""scripts/tune.py: what it tries, the winner, what is stored and drawn, and that nothing is done twice."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

import nat_plugin
from nat_plugin.errors import UserError
from scripts import evaluate, train, train_lm, tune
from scripts.lib.evaluation import Evaluation
from scripts.lib.results import read_rows
from scripts.lib.runs import Run
from scripts.lib.tuning import decoding
from tests.scripts import tiny_training, untrained_runs

ROW = {"brevity_penalty": 0.9, "repeated_tokens": 0.0, "length_ratio": 1.0, "ms_per_sentence": 2.0, "system": "s"}


class FakeEvaluation:
    """Stands in for fairseq-generate: BLEU rises up to λ = 1.05 and stays; more candidates bring nothing."""

    done: ClassVar[list[dict[str, Any]]] = []
    checkpoints: ClassVar[set[str | None]] = set()
    system = "system"

    def __init__(self, run: Path, overrides: dict[str, Any], checkpoint: str | None) -> None:
        self.run_folder, self.overrides = run, overrides
        self.flags = {"beam": 1, **overrides}
        self.checkpoint = run / "checkpoint.pt"
        FakeEvaluation.checkpoints.add(checkpoint)

    @classmethod
    def plan(cls, run: Path, *, split: str, checkpoint: str | None, overrides: dict[str, Any]) -> FakeEvaluation:
        assert split == "valid"
        return cls(run, overrides, checkpoint)

    @property
    def file(self) -> Path:
        name = "_".join(f"{key}={value}" for key, value in self.overrides.items())
        return self.run_folder / "results" / f"valid_{name}.json"

    def stored(self) -> dict[str, Any] | None:
        rows = read_rows(self.file)
        return rows[0] if rows else None

    def run(self, threads: int | None) -> dict[str, Any]:
        FakeEvaluation.done.append(self.overrides)
        multiplier = self.overrides.get("length_multiplier", 1.0)
        bleu = 20.0 if multiplier >= 1.05 else 19.0
        config = self.run_folder / "delta"
        if config.exists():
            bleu -= abs(float(config.read_text()) - 3)
        row = {**ROW, "bleu": bleu, "chrf": multiplier, "tokenized_bleu": None, "tokenized_bleu_uncased": None}
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(json.dumps([row]))
        return row


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run directory, and the stand-in for its evaluation."""
    monkeypatch.setattr(decoding, "Evaluation", FakeEvaluation)
    FakeEvaluation.done, FakeEvaluation.checkpoints = [], set()
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "checkpoint.pt").touch()
    return folder


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_stores_the_first_best_and_skips_what_is_done(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "tuned.json").write_text('{"length_candidates": 5}')
    words = [str(run), "length_multiplier=1.00:1.10:0.05"]
    tune.main(words)
    assert len(FakeEvaluation.done) == 3
    assert read(run / "tuned.json") == {"length_candidates": 5, "length_multiplier": 1.05}
    curve = run / "results" / "tune_length_multiplier.json"
    stored = read(curve)
    assert stored["winner"] == {"length_multiplier": 1.05}
    assert [point["bleu"] for point in stored["curve"]] == [19.0, 20.0, 20.0]
    assert stored["equal"] == [{"length_multiplier": 1.05}, {"length_multiplier": 1.1}]
    printed = capsys.readouterr().out
    assert "best bleu on valid: 20.00 with length_multiplier 1.05" in printed
    assert "2 settings have the same bleu to 2 decimals" in printed
    assert "length_multiplier" in curve.with_suffix(".svg").read_text(encoding="utf-8")
    with open(curve.with_suffix(".tsv"), encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    assert [(row["length_multiplier"], row["bleu"]) for row in rows] == [("1", "19"), ("1.05", "20"), ("1.1", "20")]

    tune.main([*words, "--metric", "chrf", "--no-plot"])
    assert read(run / "tuned.json")["length_multiplier"] == 1.1
    (run / "results" / "tune_length_multiplier.journal").unlink()
    tune.main(words)
    assert len(FakeEvaluation.done) == 3, "RUN/results has them, whatever becomes of the study"
    assert FakeEvaluation.checkpoints == {None}
    tune.main([str(run), "--checkpoint", "checkpoint_last.pt", "length_multiplier=1.00", "--no-plot"])
    assert FakeEvaluation.checkpoints == {None, "checkpoint_last.pt"}


def test_the_winner_need_not_be_stored_with_the_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tune.main([str(run), "length_multiplier=1.00:1.10:0.05", "--no-store", "--no-plot"])
    assert not (run / "tuned.json").exists()
    curve = run / "results" / "tune_length_multiplier.json"
    assert read(curve)["winner"] == {"length_multiplier": 1.05}
    assert f"scripts/evaluate.py {run} --tuned {curve}" in capsys.readouterr().out
    with pytest.raises(UserError, match="--no-store goes with a run"):
        tune.main(["--train", "data=generated method=cmlm_axe", "fairseq.dropout=0.1,0.2", "--no-store"])


def test_a_sampler_takes_ranges_and_another_study(run: Path) -> None:
    study = run.parent / "elsewhere" / "lengths.journal"
    words = ["length_multiplier=1.0:1.2", "length_candidates=1:9", "deduplicate", "--sampler", "random"]
    tune.main([str(run), *words, "--trials", "6", "--study", str(study)])
    curve = read(study.with_suffix(".json"))["curve"]
    assert len({json.dumps(settings) for settings in FakeEvaluation.done}) == len(curve) == 6
    assert all(1.0 <= point["length_multiplier"] <= 1.2 and 1 <= point["length_candidates"] <= 9 for point in curve)
    assert {type(point["deduplicate"]) for point in curve} == {bool}
    assert study.with_suffix(".svg").is_file()
    tune.main([str(run), *words, "--trials", "8", "--study", str(study), "--no-plot"])
    assert len(FakeEvaluation.done) == 8, "more trials are added to those that are done"


def test_two_flags_are_drawn_as_a_heat_map(run: Path) -> None:
    tune.main([str(run), "length_multiplier=1.0,1.1", "length_candidates=5,3"])
    assert read(run / "tuned.json") == {"length_multiplier": 1.1, "length_candidates": 3}, "3 candidates cost less"
    [drawn] = (run / "results").glob("*.svg")
    text = drawn.read_text(encoding="utf-8")
    assert text.count(">19.00<") == text.count(">20.00<") == 2


def test_a_metric_that_the_data_do_not_have_is_refused(run: Path) -> None:
    with pytest.raises(UserError, match="these data have no tokenized_bleu: choose another --metric"):
        tune.main([str(run), "length_multiplier=1.0", "--metric", "tokenized_bleu"])
    tune.main([str(run), "length_multiplier=1.0", "--metric", "bleu"])


@pytest.fixture
def trained(run: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What scripts/train.py was asked for; it leaves a run."""
    asked: list[list[str]] = []

    def fake_train(words: list[str]) -> None:
        asked.append(words)
        given = dict(word.split("=", maxsplit=1) for word in words)
        folder = Path(given["run"])
        (folder / "delta").write_text(given["fairseq.skip_target_penalty"])
        skipped = 0.2 / float(given["fairseq.skip_target_penalty"])
        log = {"valid_loss": "1", "valid_num_updates": "9", "valid_skip_target": str(skipped)}
        (folder / "train.log").write_text(f"x | INFO | valid | {json.dumps(log)}\n")

    monkeypatch.setattr(train, "main", fake_train)
    monkeypatch.chdir(run.parent)
    return asked


BASE = "data=multi30k_en_de_kd method=cmlm_axe size=tiny machine=cpu"
FOLDER = "runs/tuning/multi30k_en_de_kd/cmlm_axe_tiny"


def test_trains_a_run_for_each_value(trained: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--train", BASE, "fairseq.skip_target_penalty=1,3"]
    tune.main(words)
    folders = [Path(FOLDER, f"skip_target_penalty={delta}") for delta in (1, 3)]
    assert trained == [
        [
            *BASE.split(),
            f"fairseq.skip_target_penalty={delta}",
            f"run={folder}",
            f"name=multi30k_en_de_kd/cmlm_axe_tiny/{folder.name}",
        ]
        for delta, folder in zip((1, 3), folders, strict=True)
    ]
    stored = read(Path(FOLDER, "tune_fairseq.skip_target_penalty.json"))
    assert stored["winner"] == {"fairseq.skip_target_penalty": 3}
    assert [(point["run"], point["skip_target"]) for point in stored["curve"]] == [
        (str(folders[0]), 0.2),
        (str(folders[1]), pytest.approx(0.2 / 3)),
    ]
    assert "skipped targets" in Path(FOLDER, "tune_fairseq.skip_target_penalty.svg").read_text(encoding="utf-8")
    assert f"it is {folders[1]}, trained by\n  scripts/train.py {BASE} " in capsys.readouterr().out
    assert not (folders[1] / "tuned.json").exists()
    tune.main(words)
    assert len(trained) == 2


def test_a_training_serves_all_decoding_flags(trained: list[list[str]]) -> None:
    values = ["length_multiplier=1.0,1.1", "fairseq.skip_target_penalty=1,3"]
    tune.main(["--train", BASE, *values, "--study", "here/tune.journal", "--no-plot"])
    assert len(trained) == 2
    assert FakeEvaluation.done == [{"length_multiplier": value} for value in (1.0, 1.0, 1.1, 1.1)]
    curve = read(Path("here/tune.json"))
    assert curve["winner"] == {"length_multiplier": 1.1, "fairseq.skip_target_penalty": 3}
    assert len(curve["curve"]) == 4
    assert read(Path("here/skip_target_penalty=3/tuned.json")) == {"length_multiplier": 1.1}


def test_a_folder_of_another_training_is_refused(trained: list[list[str]]) -> None:
    from scripts.lib.config import compose_run

    run = Run(Path(FOLDER, "skip_target_penalty=3"))
    run.write_config(compose_run([*BASE.split(), "fairseq.skip_target_penalty=3", "fairseq.lr=1"]))
    tune.main(["--train", BASE, "fairseq.skip_target_penalty=1,3", "--no-plot"])  # it has left nothing to go on from
    trained.clear()
    run.checkpoints.mkdir(exist_ok=True)
    run.last_checkpoint.touch()
    run.write_config(compose_run([*BASE.split(), "fairseq.skip_target_penalty=3", "fairseq.lr=1"]))
    with pytest.raises(UserError, match=r"trained with another configuration \(fairseq.lr was 1, .*--study FOLDER"):
        tune.main(["--train", BASE, "fairseq.skip_target_penalty=1,3"])
    assert trained == []


def test_values_that_are_no_file_names_have_folders_of_their_own(trained: list[list[str]]) -> None:
    words = ["data.candidate_weights=[1,1],[1,2]", "fairseq.skip_target_penalty=3"]
    tune.main(["--train", BASE, *words, "--no-plot"])
    names = [Path(each[-2]).name for each in trained]
    assert len(set(names)) == 2
    assert all(name.startswith("candidate_weights=-1-") and "_skip_target_penalty=3-" in name for name in names)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name a run and what to tune"),
        (["{run}"], "name a run and what to tune"),
        (["length_multiplier=1.0"], "name a run and what to tune"),
        (["length_multiplier=1.0", "iterations"], "the first word is a run directory"),
        (["--train", BASE], "--train needs what is to be tuned"),
        (["--train", BASE, "length_multiplier"], "nothing of length_multiplier is a setting of training"),
        (["--train", BASE, "run=a,b"], "run= and name= are not for tuning"),
        (["--train", f"{BASE} run=a", "size=tiny,small"], "run= and name= are not for tuning"),
        (["--train", BASE, "size=tiny,enormous"], "enormous"),
        (["{run}", "fairseq.lr=1,2"], "fairseq.lr is a setting of training, and .* give --train"),
        (["{run}", "iterations", "--trials", "3"], "--trials goes with --sampler tpe or random"),
        (["{run}", "iterations", "--sampler", "tpe", "--trials", "0"], "--trials must be at least 1, not 0"),
        (["{run}", "iterations", "--study", "x.json"], "--study x.json must end in .journal"),
        (["{run}", "length_multiplier=1.0:1.1"], "has a range without a step"),
    ],
)
def test_refuses_in_one_sentence(words: list[str], message: str, run: Path) -> None:
    with pytest.raises(UserError, match=message):
        tune.main([word.format(run=run) for word in words])


def test_a_ctc_run_has_no_lengths_to_tune(tiny_data: Path, tmp_path: Path) -> None:
    run = untrained_runs.make_run(tiny_data, tmp_path / "run", "ctc")
    with pytest.raises(UserError, match=r"length_multiplier has no meaning for .*, a CTC model.*: tune blank_penalty"):
        tune.main([str(run), "length_multiplier"])
    assert not (run / "results").exists()


@pytest.mark.parametrize(
    ("method", "settings", "flags"),
    [
        ("teacher", {"beam": 2, "lenpen": 0.6}, ["--beam 2", "--lenpen 0.6"]),
        ("cmlm_axe", {"deduplicate": True, "length_candidates": 3}, ["--deduplicate", "--length-candidates 3"]),
        ("cmlm_axe", {"deduplicate": False, "iterations": 4}, ["--iterations 4"]),
    ],
)
def test_fairseq_takes_what_is_tuned(
    method: str, settings: dict[str, Any], flags: list[str], tiny_data: Path, tmp_path: Path
) -> None:
    nat_plugin.register()
    from fairseq import options

    run = untrained_runs.make_run(tiny_data, tmp_path / "run", method)
    command = Evaluation.plan(run, split="valid", overrides=settings).command
    assert all(f" {flag} " in f" {' '.join(command)} " for flag in flags)
    assert ("--deduplicate" in command) == bool(settings.get("deduplicate"))
    parsed = options.parse_args_and_arch(options.get_generation_parser(), command[1:])
    assert {flag: getattr(parsed, flag) for flag in settings} == settings


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
    assert read(run / "tuned.json") == {**fixed, "token_bonus": 3}
    [curve_file] = (run / "results").glob("tune_*.json")
    short, long = read(curve_file)["curve"]
    assert short["brevity_penalty"] < long["brevity_penalty"]
    output = capsys.readouterr().out
    assert output.count("$ fairseq-generate") == 1
    assert f"{long['brevity_penalty']:.3f}" in output

    evaluate.main([str(run), "--split", "valid"])  # decodes with what was stored
    [row] = read(run / "results" / "valid.json")
    assert row["decoding"]["token_bonus"] == 3
    assert {key: row[key] for key in tune.METRICS} == {key: long[key] for key in tune.METRICS}

    capsys.readouterr()
    tune.main([str(run), *grids[:-1], "token_bonus=0,1.5", "--no-plot"])
    assert "$ fairseq-generate" not in capsys.readouterr().out, "the n-best list of the first search is read"
