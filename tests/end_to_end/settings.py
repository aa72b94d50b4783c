"""Flags with which fairseq's commands take a second or two."""

from __future__ import annotations

from pathlib import Path

from tests.end_to_end.commands import Result, Running, run, start
from tests.end_to_end.corpus import SOURCE, TARGET

SIZE = {"embed-dim": 32, "ffn-embed-dim": 64, "layers": 1, "attention-heads": 2}
TINY = [word for side in ("encoder", "decoder") for key, value in SIZE.items() for word in (f"--{side}-{key}", value)]
MODEL = ["--arch", "cmlm_tiny", "--init", "xavier", "--dropout", 0, *TINY]
POSITIONS = ["--max-source-positions", 64, "--max-target-positions", 64]
ON_CPU = ["--cpu", "--num-workers", 0, "--log-format", "simple"]
TASK = ["--task", "nat_translation", "--source-lang", SOURCE, "--target-lang", TARGET]
OPTIMIZER = ["--optimizer", "adam", "--lr", 0.01, "--max-tokens", 400]


def training(data: Path, save_dir: Path, *flags: object) -> list[object]:
    """Arguments of fairseq-train: a small model; one checkpoint at the end, no validation unless ``flags`` say so."""
    fixed = [data, *TASK, *POSITIONS, *MODEL, *ON_CPU, *OPTIMIZER, "--no-epoch-checkpoints", "--save-dir", save_dir]
    return [*fixed, "--criterion", "nat_cross_entropy", "--log-interval", 1, *flags]


def start_training(data: Path, save_dir: Path, *flags: object, file_limit: int | None = None) -> Running:
    """Start fairseq-train with those arguments, without validation."""
    return start("fairseq-train", *training(data, save_dir, "--disable-validation", *flags), file_limit=file_limit)


def train(data: Path, save_dir: Path, *flags: object, file_limit: int | None = None) -> Result:
    """:func:`start_training` and wait for its end."""
    return start_training(data, save_dir, *flags, file_limit=file_limit).wait()


def generating(data: Path, checkpoint: Path | str, *flags: object) -> list[object]:
    """Arguments of fairseq-generate."""
    return [data, *TASK, "--path", checkpoint, *ON_CPU, *flags]


def generate(data: Path, checkpoint: Path | str, *flags: object) -> Result:
    return run("fairseq-generate", *generating(data, checkpoint, *flags))


def interactive(data: Path, checkpoint: Path, text: bytes, *flags: object) -> Result:
    """Run fairseq-interactive on ``text`` as its standard input."""
    return run("fairseq-interactive", data, *TASK, "--path", checkpoint, "--cpu", *flags, stdin=text)


def hypotheses(output: str, kind: str = "H") -> dict[int, list[str]]:
    """Sentence number → the text of its hypotheses, best first, from what generate or interactive printed."""
    found: dict[int, list[str]] = {}
    for line in output.splitlines():
        if line.startswith(f"{kind}-"):
            number, *columns = line.removeprefix(f"{kind}-").split("\t")
            found.setdefault(int(number), []).append(columns[-1])
    return found
