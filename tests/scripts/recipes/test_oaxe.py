"""scripts/recipes/oaxe.py with its steps replaced, and once as a user runs it: Table 2 of Huang et al. 2022."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from nat_plugin.errors import UserError
from scripts.lib.config import compose_run
from scripts.lib.training_log import read_curves
from scripts.recipes import oaxe as recipe
from tests.scripts import tiny_training
from tests.scripts.untrained_runs import read_row


class Steps:
    """Stands in for :func:`scripts.lib.steps.start`: notes each command and writes what its script would."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []

    def __call__(self, command: Sequence[str], threads: int | None = None) -> Steps:
        self.commands.append(list(command))
        script, *words = command
        if script == "train.py":
            config = compose_run(words)
            run = Path(config["run"])
            (run / "checkpoints").mkdir(parents=True, exist_ok=True)
            for name in ("averaged.pt", "checkpoint_last.pt"):
                (run / "checkpoints" / name).write_text(str(config["fairseq"]["max_update"]))
            (run / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(config)))
        else:
            run = Path(words[0])
            (run / "results").mkdir(exist_ok=True)
            row = dict.fromkeys(recipe._OF_TEST, 1.0) | {"system": run.name, "signature": "s", "command": script}
            (run / "results" / "test.json").write_text(json.dumps([row]))
        return self

    def wait(self) -> int:
        return 0


class InProcess:
    """Stands in for :func:`scripts.lib.steps.start`: runs the script's ``main`` here."""

    def __init__(self, command: Sequence[str], threads: int | None = None) -> None:
        script, *words = command
        importlib.import_module(f"scripts.{script.removesuffix('.py')}").main(words)

    def wait(self) -> int:
        return 0


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    steps = Steps()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("scripts.lib.steps.start", steps)
    monkeypatch.setattr(
        "scripts.lib.averaging.write_average", lambda paths, output: output.write_text(paths[0].read_text())
    )
    return steps


def updates(steps: Steps) -> list[tuple[str, int, float]]:
    """Method, last update and rate of each training, in their order."""
    configs = [compose_run(words) for script, *words in steps.commands if script == "train.py"]
    return [(each["method"]["name"], each["fairseq"]["max_update"], each["fairseq"]["lr"]) for each in configs]


def test_the_papers_table(steps: Steps, capsys: pytest.CaptureFixture[str]) -> None:
    recipe.main(
        ["--rows", "all", "--raw", "multi30k_en_de", "--size", "base", "--budget", "mple", "--output", "out.json"]
    )
    whole, rate, fine = 300_000, 5e-4, (100_000, 1e-5)
    assert updates(steps) == [
        ("vanilla", 10_000, rate), ("vanilla", 50_000, rate), ("vanilla", whole, rate),  # one training
        ("vanilla", whole, rate), ("vanilla", whole, rate),  # raw data, and KD again, which is finished
        *((f"vanilla_axe_delta{delta}", whole, rate) for delta in (1, 5, 10)),
        *((f"vanilla_oaxe_{part}", *fine) for part in ("10k", "50k", "300k")),
    ]  # fmt: skip
    kept = Path("runs/multi30k_en_de_kd/vanilla_base/checkpoints")
    assert [(kept / f"pretrained_{part}.pt").read_text() for part in ("10k", "50k", "300k")] == [
        "10000", "50000", "300000"
    ]  # fmt: skip
    rows = json.loads(Path("out.json").read_text(encoding="utf-8"))
    assert [row["system"] for row in rows] == [system.name for system in recipe.SYSTEMS.values()]
    starts = [row["started_from"] for row in rows]
    assert starts == [None] * 5 + [str(kept / f"pretrained_{part}.pt") for part in ("10k", "50k", "300k")]
    assert compose_run(["data=multi30k_en_de_kd", "method=vanilla_oaxe_50k", "size=base"])["start_from"] == starts[6]
    assert "KD + AXE (τ=10)" in capsys.readouterr().out


def test_the_same_parts_of_a_smaller_budget_once(steps: Steps) -> None:
    words = ["--rows", "oaxe_50k,oaxe_10k", "--output", "out.json", "--updates", "600", "fairseq.dropout=0.2"]
    recipe.main(words)
    assert [each[:2] for each in updates(steps)] == [
        ("vanilla", 20), ("vanilla", 100), ("vanilla_oaxe_10k", 200), ("vanilla_oaxe_50k", 200)
    ]  # fmt: skip
    assert all("fairseq.dropout=0.2" in command for command in steps.commands if command[0] == "train.py")
    steps.commands.clear()
    recipe.main(words)
    assert [each[:2] for each in updates(steps)] == [("vanilla_oaxe_10k", 200), ("vanilla_oaxe_50k", 200)]
    with pytest.raises(UserError, match=r"trained for more than 40 updates, .* drop oaxe_10k"):
        recipe.main([*words, "--updates", "1200"])


def test_the_rate_of_fine_tuning_follows_a_given_one(steps: Steps) -> None:
    """The paper goes on at a fiftieth of the highest rate; a short training may want more."""
    words = ["--rows", "oaxe_10k", "--updates", "600", "--output", "out.json", "fairseq.lr=0.001"]
    recipe.main(words)
    assert [each[2] for each in updates(steps)] == [0.001, 2e-5]
    steps.commands.clear()
    recipe.main([*words, "--fine-tuning-lr", "1e-4"])
    assert [each[2] for each in updates(steps)] == [1e-4]


def test_what_is_fine_tuned_does_not_begin_anew(steps: Steps) -> None:
    """A half of another model is for the vanilla NAT to begin with; OaXE goes on from that one's weights."""
    word = "fairseq.load_encoder_from=teacher.pt"
    recipe.main(["--rows", "kd,oaxe_300k", "--updates", "600", "--output", "out.json", word])
    trainings = [command for command in steps.commands if command[0] == "train.py"]
    assert [word in command for command in trainings] == [True, True, False]
    assert "method=vanilla_oaxe_300k" in trainings[-1]


def test_a_rate_that_falls_to_0_falls_over_the_whole_training(steps: Steps) -> None:
    """Part after part is one training, which goes on only with the same schedule."""
    words = ["--updates", "600", "--output", "out.json", "schedule=linear", "machine=cpu"]
    recipe.main(["--rows", "kd,oaxe_10k,oaxe_300k", *words])
    flags = [compose_run(command[1:])["fairseq"] for command in steps.commands if "method=vanilla" in command]
    assert [(each["max_update"], each["total_num_update"]) for each in flags] == [(20, 600), (600, 600), (600, 600)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rows", "kd,teacher"], "--rows names 'teacher': choose some of raw, kd"),
        (["--rows", "raw"], "the row raw and --raw DATA go together"),
        (["--raw", "multi30k_en_de"], "the row raw and --raw DATA go together"),
        (["--budget", "mine"], "--budget mine has no configs/budget/mine_fine_tuning.yaml"),
        (["fairseq.max_update=7"], "use --updates"),
        (["--updates", "7"], "--updates 7 is too few"),
        (["--fine-tuning-lr", "0"], "--fine-tuning-lr 0 is no rate"),
        (["--output", "out.txt"], "must end in"),
    ],
)
def test_refuses_in_one_sentence(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        recipe.main(words)


@pytest.mark.end_to_end
def test_really(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two updates with cross entropy, then OaXE from there: the loss goes on from where it was, at the fixed rate."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("scripts.lib.steps.start", InProcess)
    small = [word for word in tiny_training.settings(tiny_data, tmp_path, lr=0.02) if word.startswith("fairseq.")]
    ours = ("fairseq.max_update=", "fairseq.warmup_updates=", "fairseq.lr=")
    words = [*(word for word in small if not word.startswith(ours)), "machine=cpu", "batch_tokens=200"]
    recipe.main(["--data", str(tiny_data), "--rows", "oaxe_50k", "--updates", "30", "--output", "out.json", *words])
    row = read_row(Path("out.json"))
    assert row["updates"] == 10
    assert row["parameters"] > 1000
    assert row["training_minutes"] >= 0
    assert row["learning_rate"] == 4e-5
    assert row["bleu"] >= 0
    runs = Path("runs") / tiny_data.name
    log = (runs / "vanilla_oaxe_50k_tiny" / "train.log").read_text(encoding="utf-8")
    assert "loading pretrained model from" in log
    curves = read_curves(runs / "vanilla_oaxe_50k_tiny" / "train.log")
    assert sorted(curves.training) == list(range(1, 11))
    rates = {line.split('"lr": "')[1].split('"')[0] for line in log.splitlines() if "| train_inner |" in line}
    assert rates == {"4e-05"}
