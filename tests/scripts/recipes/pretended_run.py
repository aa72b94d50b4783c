"""In place of the scripts that scripts/reproduce.py runs: notes each command, and leaves what its script would."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from omegaconf import OmegaConf

from scripts.lib.evaluation import describe_changes, result_stem
from scripts.lib.reproduce.steps import compose
from scripts.lib.runs import Run
from scripts.train import training_limits
from tests.scripts.lib.test_training_log import inner, valid

REFERENCES = [f"a sentence of {number} words and more that is not short" for number in range(30)]


class Pretended:
    """Stands in for :func:`scripts.lib.steps.start`.

    Args:
        bleu: of a run's translations, by its name.
    """

    def __init__(self, bleu: Callable[[str], float] = lambda name: 20.0) -> None:
        self.commands: list[list[str]] = []
        self.bleu = bleu
        self.failing = ""
        self.killed_at: int | None = None
        """At so many commands: as if the process were killed."""
        self.environments: list[Mapping[str, str]] = []

    def __call__(
        self,
        command: Sequence[str],
        threads: int | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        output: IO[bytes] | None = None,
    ) -> Ended:
        if self.killed_at == len(self.commands):
            raise KeyboardInterrupt
        self.commands.append(list(command))
        self.environments.append(environment or {})
        script, *words = command
        if self.failing and self.failing in " ".join(command):
            return Ended(1)
        makers = {
            "train.py": self.train, "distill.py": self.distill, "evaluate.py": self.evaluate, "tune.py": self.tune,
            "analyse_alignments.py": self.align, "benchmark_latency.py": self.measure_time,
            "recipes/latent_alignment_at.py": self.compare_losses,
        }  # fmt: skip
        makers[script](words)
        return Ended(0)

    @property
    def scripts(self) -> list[str]:
        return [command[0] for command in self.commands]

    def train(self, words: Sequence[str]) -> None:
        config = compose(tuple(words))  # once for all tests
        run = Run(Path(config["run"]))
        run.checkpoints.mkdir(parents=True, exist_ok=True)
        run.write_config(config)
        updates = config["fairseq"]["max_update"]
        for path in (run.averaged_checkpoint, run.last_checkpoint):
            path.write_text(str(updates))
        lines = [inner(50, 2.5), valid(updates, 1.75), "num. shared model params: 2,186,240 (num. trained: 2,186,240)"]
        run.log_file.write_text("\n".join(lines))
        run.mark_finished(training_limits(config))

    def distill(self, words: Sequence[str]) -> None:
        run = Run(Path(words[0]))
        folder = Path(run.read_config()["data"]["path"])
        output = Path(words[words.index("--output") + 1]) if "--output" in words else Path(f"{folder}_kd")
        make_data(output, "distill.json")

    def evaluate(self, words: Sequence[str]) -> None:
        from scripts.evaluate import parse_arguments

        options = parse_arguments(words)
        [run] = options.runs
        suffix = options.suffix or "_".join(describe_changes(options.overrides))
        stem = result_stem(options.split, suffix)
        name = f"{run.parent.name}/{run.name}"
        results = run / "results"
        results.mkdir(exist_ok=True)
        # The better a system, the more of its sentences are the reference.
        right = round(len(REFERENCES) * self.bleu(name) / 100)
        lines = [*REFERENCES[:right], *(f"something else {number}" for number in range(len(REFERENCES) - right))]
        (results / f"{stem}.hyp.txt").write_text("\n".join(lines) + "\n")
        row: dict[str, Any] = {
            "system": name, "split": options.split, "data": str(run_data(run)), "bleu": self.bleu(name),
            "tokenized_bleu": self.bleu(name) + 0.5, "repeated_tokens": 0.1, "length_ratio": 0.99,
            "signature": "nrefs:1|tok:13a", "command": "fairseq-generate …", "decoding": options.overrides,
        }  # fmt: skip
        (results / f"{stem}.json").write_text(json.dumps([row]))

    def tune(self, words: Sequence[str]) -> None:
        run, grid = Path(words[0]), words[1]
        values = [round(1 + place / 100, 2) for place in range(11)]
        curve = [{"length_multiplier": value, "bleu": 20 * value, "tokenized_bleu": 21} for value in values]
        (run / "results").mkdir(exist_ok=True)
        record = {"winner": {grid: 1.1}, "curve": curve}
        (run / "results" / f"tune_{grid}.json").write_text(json.dumps(record))

    def align(self, words: Sequence[str]) -> None:
        results = Path(words[0]) / "results"
        results.mkdir(exist_ok=True)
        row = {"operators": {"clone prediction": {"count": 5}}, "targets": 50}
        (results / "alignments_valid.json").write_text(json.dumps([row]))

    def compare_losses(self, words: Sequence[str]) -> None:
        rows = [
            {
                "system": title, "bleu": bleu, "empty_outputs": 0.0, "training_loss": 1.0,
                "best_validation_loss": 2.0, "trivial": 0.98,
            }
            for title, bleu in {"cross entropy": 30.0, "AXE": 0.0, "causal AXE": 29.5}.items()
        ]  # fmt: skip
        output = Path(words[words.index("--output") + 1])
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(rows))

    def measure_time(self, words: Sequence[str]) -> None:
        names = [word.rpartition("name=")[2] for word in words if "name=" in word]
        systems = [
            {
                "system": name, "parameters": 2_000_000,
                "measures": {"l1_cpu": {"ms": 30 / (1 + place), "speedup": 1.0 + place, "signature": "s"}},
            }
            for place, name in enumerate(names)
        ]  # fmt: skip
        output = Path(words[words.index("--output") + 1])
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps({"systems": systems}))


class Ended:
    """A process that has come to its end."""

    def __init__(self, status: int) -> None:
        self.status = status

    def poll(self) -> int:
        return self.status


def run_data(run: Path) -> Path:
    config = OmegaConf.to_container(OmegaConf.load(run / "config.yaml"))
    assert isinstance(config, dict)
    return Path(config["data"]["path"])


def make_data(folder: Path, record: str = "prepare.json") -> Path:
    """What the recipes and the bootstrap read of a data folder."""
    raw = folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for language in ("aa", "bb"):
        (raw / f"test.{language}").write_text("\n".join(REFERENCES) + "\n")
        (folder / f"dict.{language}.txt").write_text("word 1\n")
    prepared = {
        "source_lang": "aa", "target_lang": "bb",
        "options": {"tokenizer": {"aa": "none", "bb": "none"}, "subword": "none"},
    }  # fmt: skip
    for name in {"prepare.json", record}:
        (folder / name).write_text(json.dumps(prepared))
    return folder


def make_older(folder: Path, seconds: float = 100) -> None:
    """Everything in a folder, as if written so long ago."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - seconds,) * 2)
