"""scripts/study_halves.py: both studies, one of them trained for real, killed and continued."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from nat_plugin.errors import UserError
from scripts import study_halves
from scripts.lib.config import compose_run
from scripts.lib.in_process import SplitTranslator
from scripts.lib.runs import Run
from tests.scripts.tiny_training import kill, parameters, shared_settings, start_script, wait_for
from tests.scripts.untrained_runs import make_run

UPDATES, INTERVAL = 14, 4


def words(data: Path, **fairseq: Any) -> list[str]:
    """For scripts/train.py, without a run."""
    shared = shared_settings(**{"copying": "uniform", "max_update": UPDATES, **fairseq})
    return [f"data={data}", "method=nat", *shared]


def flags_of(given: list[str]) -> dict[str, Any]:
    return dict(compose_run(given)["fairseq"])


def train_in_no_time(monkeypatch: pytest.MonkeyPatch, data: Path) -> list[str]:
    """Replace trainings by random weights of the size that was asked for; the list gets the name of each run."""
    trained: list[str] = []

    def train(given: list[str]) -> None:
        config = compose_run(given)
        run = Run(Path(config["run"]))
        if run.last_checkpoint.exists():
            return
        trained.append(run.folder.name)
        flags = {key: value for key, value in config["fairseq"].items() if key.endswith(("layers", "embeddings"))}
        make_run(data, run.folder, "nat", seed=len(trained), **flags, copying="uniform", init="xavier")
        state = torch.load(run.last_checkpoint)
        for updates in (INTERVAL, UPDATES):
            state["optimizer_history"][-1]["num_updates"] = updates
            torch.save(state, run.last_checkpoint)
            if updates != UPDATES:
                torch.save(state, run.checkpoints / f"checkpoint_1_{updates}.pt")
        torch.save(state, run.averaged_checkpoint)

    monkeypatch.setattr("scripts.train.main", train)
    return trained


def test_depth(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = train_in_no_time(monkeypatch, tiny_data)
    arguments = ["depth", *words(tiny_data), "--layers", "2", "1", "--output", str(tmp_path), "--split", "valid"]
    study_halves.main(arguments)
    expected = ["encoder1_decoder1", "encoder2_decoder1", "encoder3_decoder1", "encoder1_decoder2", "encoder1_decoder3"]
    assert trained == expected
    shown = capsys.readouterr().out
    assert "fairseq.encoder_layers=3 fairseq.decoder_layers=1" in shown
    rows = json.loads((tmp_path / "depth.json").read_text(encoding="utf-8"))
    assert [(row["side"], row["added_layers"]) for row in rows] == [
        (None, 0), ("encoder", 1), ("encoder", 2), ("decoder", 1), ("decoder", 2),
    ]  # fmt: skip
    for row in rows:
        assert row["delta_bleu"] == row["bleu"] - rows[0]["bleu"]
        weights = parameters(tmp_path / "depth" / row["system"] / "checkpoints" / "averaged.pt")
        for side in ("encoder", "decoder"):
            layers = {name.split(".")[2] for name in weights if name.startswith(f"{side}.layers.")}
            assert len(layers) == row[f"{side}_layers"]
    with open(tmp_path / "depth.tsv", encoding="utf-8", newline="") as handle:
        lines = list(csv.DictReader(handle, delimiter="\t"))
    assert [float(line["delta_bleu"]) for line in lines] == pytest.approx([row["delta_bleu"] for row in rows])
    assert re.search(r"change of BLEU +\+1 layers +\+2 layers", shown)
    assert "decoder" in (tmp_path / "depth.svg").read_text(encoding="utf-8")

    monkeypatch.setattr(SplitTranslator, "scores", lambda self: pytest.fail("translated again"))
    study_halves.main(arguments)
    assert trained == expected
    assert json.loads((tmp_path / "depth.json").read_text(encoding="utf-8")) == rows


def test_convergence_of_a_model_that_is_trained_first(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = train_in_no_time(monkeypatch, tiny_data)
    study_halves.main(
        ["convergence", *words(tiny_data), "--interval", str(INTERVAL), "--output", str(tmp_path), "--no-plot"]
    )
    assert trained == ["whole", "encoder_trained", "decoder_trained"]
    pretrained, *rows = json.loads((tmp_path / "convergence.json").read_text(encoding="utf-8"))
    assert pretrained["checkpoint"] == str(tmp_path / "convergence" / "whole" / "checkpoints" / "averaged.pt")
    assert [(row["trained"], [point["updates"] for point in row["points"]]) for row in rows] == [
        ("encoder", [INTERVAL, UPDATES]),
        ("decoder", [INTERVAL, UPDATES]),
    ]
    assert "fairseq kept no checkpoint of update 8, 12" in capsys.readouterr().err
    assert not (tmp_path / "convergence.svg").exists()


@pytest.mark.end_to_end
def test_a_killed_study_goes_on(tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = make_run(tiny_data, tmp_path / "whole", "nat", copying="uniform", share_embeddings="decoder", init="xavier")
    checkpoint = whole / "checkpoints" / "checkpoint_last.pt"
    arguments = ["convergence", *words(tiny_data), "--interval", str(INTERVAL), "--pretrained", str(whole)]
    arguments += ["--output", str(tmp_path / "study"), "--threads", "1"]
    process = start_script("study_halves.py", arguments)
    runs = {half: Run(tmp_path / "study" / "convergence" / f"{half}_trained") for half in ("encoder", "decoder")}
    wait_for(runs["encoder"].last_checkpoint.exists, process)
    kill(process)
    assert not (tmp_path / "study" / "convergence.json").exists()

    study_halves.main(arguments)
    shown = capsys.readouterr()
    before = parameters(checkpoint)
    for half, run in runs.items():
        after = parameters(run.last_checkpoint)
        assert after.keys() == before.keys()
        changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
        assert changed == {half, "length_predictor"}
    assert not [child for child in runs["encoder"].checkpoints.iterdir() if child.suffix == ".tmp"]
    pretrained, *rows = json.loads((tmp_path / "study" / "convergence.json").read_text(encoding="utf-8"))
    assert pretrained["checkpoint"].endswith(os.path.join("whole", "checkpoints", "checkpoint_last.pt"))
    for row in rows:
        updates = [point["updates"] for point in row["points"]]
        told = re.search(rf"{row['system']}: fairseq kept no checkpoint of update (.*)", shown.err)
        missing = set(map(int, told[1].split(", "))) if told else set()  # those that ended with their epoch
        assert updates == sorted({4, 8, 12, UPDATES} - missing)
        assert missing <= {4, 8, 12}
    with open(tmp_path / "study" / "convergence.tsv", encoding="utf-8", newline="") as handle:
        lines = list(csv.DictReader(handle, delimiter="\t"))
    points = [(row["trained"], str(point["updates"])) for row in rows for point in row["points"]]
    assert [(line["trained"], line["updates"]) for line in lines] == [("pretrained", ""), *points]
    assert "encoder trained" in (tmp_path / "study" / "convergence.svg").read_text(encoding="utf-8")
    assert f"pretrained model: {pretrained['bleu']:.2f}" in shown.out


def test_every_training_says_what_it_trains(tiny_data: Path, tmp_path: Path) -> None:
    from scripts.lib.halves.plan import plan_convergence

    pretrained = tmp_path / "a folder" / "model.pt"
    planned = plan_convergence(words(tiny_data), INTERVAL, pretrained, tmp_path)
    for trained, frozen in (("encoder", "decoder"), ("decoder", "encoder")):
        flags = flags_of(planned[trained].words)
        assert flags[f"load_{frozen}_from"] == str(pretrained)
        assert flags[f"freeze_{frozen}"] is True
        assert not {f"load_{trained}_from", f"freeze_{trained}"} & flags.keys()
        assert (flags["share_embeddings"], flags["max_update"]) == ("decoder", UPDATES)
        assert (flags["save_interval_updates"], flags["keep_interval_updates"]) == (INTERVAL, -1)


def test_the_paper_is_what_is_trained_by_default() -> None:
    from scripts.lib.halves.plan import plan_depth, with_defaults

    planned = plan_depth(with_defaults(["data=generated", "machine=cpu"]), (5, 10, 15), Path("out"))
    assert list(planned) == [(5, 5), (10, 5), (15, 5), (20, 5), (5, 10), (5, 15), (5, 20)]
    flags = flags_of(planned[5, 20].words)
    assert (flags["copying"], flags["masking"], flags["encoder_embed_dim"]) == ("hard", "full", 256)
    assert (flags["encoder_layers"], flags["decoder_layers"]) == (5, 20)


def test_refuses_in_one_sentence(tiny_data: Path, tmp_path: Path) -> None:
    given = words(tiny_data)
    teacher = [f"data={tiny_data}", "method=teacher", *shared_settings()]
    refusals = {
        r"run=x is worked out by this script: use --output": ["depth", *given, "run=x"],
        r"fairseq\.freeze_encoder=true is worked out": ["convergence", *given, "fairseq.freeze_encoder=true"],
        "--layers 0 adds nothing": ["depth", *given, "--layers", "0"],
        "--interval 99 is more than the 14 updates": ["convergence", *given, "--interval", "99"],
        "--interval must be at least 1, not 0": ["convergence", *given, "--interval", "0"],
        "method=teacher cannot take halves of another checkpoint": ["convergence", *teacher, "--interval", "1"],
        "is no run directory": ["convergence", *given, "--pretrained", str(tmp_path / "nowhere")],
    }
    for sentence, arguments in refusals.items():
        with pytest.raises(UserError, match=sentence):
            study_halves.main([*arguments, "--output", str(tmp_path / "out"), "--no-plot"])
    assert not (tmp_path / "out").exists()


def test_a_dry_run_prints_the_commands(tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study_halves.main(["convergence", *words(tiny_data), "--dry-run", "--output", str(tmp_path / "out")])
    shown = capsys.readouterr().out
    assert shown.count("fairseq-train ") == 3
    whole = tmp_path / "out" / "convergence" / "whole" / "checkpoints" / "averaged.pt"
    assert f"--load-encoder-from {whole} --freeze-encoder" in shown
    assert f"--load-decoder-from {whole} --freeze-decoder" in shown
    assert not (tmp_path / "out").exists()
