"""A small translation project, from text to a tuned student, in one folder: its commands, and what each has saved."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scripts.lib.averaging import load_checkpoint, updates_done
from tests.scripts.tiny_training import SOURCE, TARGET, settings

_WORDS = 20
DATA, DISTILLED = Path("data-bin/soak"), Path("data-bin/soak_kd")
TEACHER, STUDENT = Path("runs/teacher"), Path("runs/student")
# Of distill.json: times, and digests of the teacher's file, in which meters hold times too.
_OF_THIS_TIME = ("process_seconds", "sentences_per_process_second", "settings_key")


@dataclass(frozen=True)
class Scale:
    """How much there is to do.

    Attributes:
        sentences: of the training set.
        updates: of the teacher, which has to learn something, and of the student.
        interval: a checkpoint is written after so many updates, and after an epoch.
        shards: of the distillation.
        multipliers: values of λ that are tried.
    """

    sentences: int
    updates: tuple[int, int]
    interval: int
    shards: int
    multipliers: int


@dataclass(frozen=True)
class Job:
    """One script with its arguments; subclasses know what it saves.

    Everything runs in the folder of the project, so that two projects have the same paths in their records.
    """

    name: str
    command: list[str]

    def units(self, root: Path) -> dict[str, Any]:
        """What is finished and must never be done again or change: name → how to recognise it."""
        raise NotImplementedError

    def marks(self, root: Path) -> dict[str, Any]:
        """What changes with every save, and is quickly read."""
        return self.units(root)

    def lost(self, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
        """What of ``before`` is not there any more, or was done again."""
        return [name for name, state in before.items() if after.get(name) != state]

    def describe(self, units: dict[str, Any]) -> str:
        """How far the job is."""
        return f"{len(units)} saved"


def _files(folder: Path, pattern: str) -> dict[str, Any]:
    return {path.name: path.stat().st_mtime_ns for path in sorted(folder.glob(pattern))}


@dataclass(frozen=True)
class Prepare(Job):
    """Saves one stage after the other."""

    def units(self, root: Path) -> dict[str, Any]:
        return _files(root / DATA / ".stages", "[!.]*.json") | _files(root / DATA, "prepare.json")


@dataclass(frozen=True)
class Distill(Job):
    """Saves one shard after the other, and removes them when the data folder is whole."""

    def units(self, root: Path) -> dict[str, Any]:
        whole = _files(root / DISTILLED, "distill.json")
        return whole or _files(root / DISTILLED / ".distil" / "shards", "[!.]*.jsonl")

    def lost(self, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
        return [] if "distill.json" in after and "distill.json" not in before else super().lost(before, after)

    def describe(self, units: dict[str, Any]) -> str:
        return "whole" if "distill.json" in units else f"{len(units)} shards saved"


@dataclass(frozen=True)
class Train(Job):
    """Saves checkpoints; the updates up to the last one are never lost."""

    run: Path

    def units(self, root: Path) -> dict[str, Any]:
        last = root / self.run / "checkpoints" / "checkpoint_last.pt"
        return {"updates": updates_done(load_checkpoint(last))} if last.is_file() else {}

    def marks(self, root: Path) -> dict[str, Any]:
        return _files(root / self.run / "checkpoints", "checkpoint_last.pt")

    def lost(self, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
        steps = before.get("updates", 0) - after.get("updates", 0)
        return [f"{steps} updates"] if steps > 0 else []

    def describe(self, units: dict[str, Any]) -> str:
        return f"{units.get('updates', 0)} updates saved"


@dataclass(frozen=True)
class Tune(Job):
    """Saves one result a value; the choice among them is made again, and has to stay what it is."""

    def units(self, root: Path) -> dict[str, Any]:
        chosen = root / STUDENT / "tuned.json"
        choice = {"tuned.json": chosen.read_text(encoding="utf-8")} if chosen.is_file() else {}
        return _files(root / STUDENT / "results", "valid_*.json") | choice


def write_corpus(folder: Path, scale: Scale) -> None:
    """The text that all projects begin with: the target says the source backwards, in other words."""
    draw = random.Random(1)
    for split, size in {"train": scale.sentences, "valid": 12, "test": 6}.items():
        sentences = [[draw.randrange(_WORDS) for _ in range(draw.randint(1, 9))] for _ in range(size)]
        write_lines(folder / f"{split}.{SOURCE}", [[f"s{word}" for word in words] for words in sentences])
        write_lines(folder / f"{split}.{TARGET}", [[f"t{word}" for word in reversed(words)] for words in sentences])


def write_lines(path: Path, lines: Iterable[Iterable[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{' '.join(words)}\n" for words in lines), encoding="utf-8")


def jobs(scale: Scale, text: Path) -> list[Job]:
    """The commands of a project, in order."""
    prepare = ["prepare.py", "--name", "soak", "--output", str(DATA), "--workers", "1", "--bpe-merges", "60"]
    prepare += ["--source-lang", SOURCE, "--target-lang", TARGET, "--tokenizer", "none"]
    for split in ("train", "valid", "test"):
        prepare += [f"--{split}", *(str(text / f"{split}.{language}") for language in (SOURCE, TARGET))]
    distill = ["distill.py", str(TEACHER), "--shards", str(scale.shards), "--processes", "1", "--beam", "1", "--cpu"]
    values = ",".join(f"{1 + place / 20:.2f}" for place in range(scale.multipliers))
    return [
        Prepare("prepare", prepare),
        Train("train the teacher", _train(scale, 0, DATA, TEACHER, "teacher"), TEACHER),
        Distill("distill", distill),
        Train("train the student", _train(scale, 1, DISTILLED, STUDENT, "cmlm_axe"), STUDENT),
        Tune("tune", ["tune.py", str(STUDENT), f"length_multiplier={values}"]),
    ]


def _train(scale: Scale, place: int, data: Path, run: Path, method: str) -> list[str]:
    often = {"save_interval_updates": scale.interval, "validate_interval_updates": scale.interval}
    return ["train.py", *settings(data, run, method, max_update=scale.updates[place], dropout=0.1, **often)]


def differences(whole: Path, killed: Path) -> list[str]:
    """What a project that was killed again and again has otherwise than one that was not; empty if all is well."""
    found = [f"{path.relative_to(killed)} was left behind" for path in leftovers(killed)]
    for folder in (DATA, DISTILLED):
        found += _compare_files(folder, _data_files(whole / folder), _data_files(killed / folder))
    for run in (TEACHER, STUDENT):
        found += _compare_checkpoints(run, _files_of(whole / run, "*.pt"), _files_of(killed / run, "*.pt"))
        found += _compare_files(run, *(_records(root / run) for root in (whole, killed)))
    return found


Files = dict[str, Path]
"""By their names inside a folder."""


def _files_of(folder: Path, pattern: str) -> Files:
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob(pattern)) if path.is_file()}


def _data_files(folder: Path) -> Files:
    """The files of a data folder; logs tell times, and hidden folders how far the work is."""
    found = _files_of(folder, "*")
    return {name: path for name, path in found.items() if not name.startswith(".") and path.suffix != ".log"}


def _records(run: Path) -> Files:
    """What a run says of itself and of its tuning; the other results hold times."""
    names = ("*.json", "config.yaml", "command.txt", "results/*.hyp.txt", "results/tune_*.json")
    return {str(path.relative_to(run)): path for name in names for path in sorted(run.glob(name))}


def _compare_files(folder: Path, expected: Files, found: Files) -> list[str]:
    different = [f"only one has {folder / name}" for name in sorted(expected.keys() ^ found.keys())]
    both = sorted(expected.keys() & found.keys())
    return different + [str(folder / name) for name in both if _content(expected[name]) != _content(found[name])]


def _content(path: Path) -> Any:
    """What two projects must have alike in a file: not how long something took, nor when a file was written."""
    if path.name == "distill.json":
        record = json.loads(path.read_text(encoding="utf-8"))
        record["settings"]["sha256"].pop(Path(record["checkpoint"]).name)
        return {key: value for key, value in record.items() if key not in _OF_THIS_TIME}
    if path.name.startswith("tune_"):
        record = json.loads(path.read_text(encoding="utf-8"))
        record["checkpoint"] = record["checkpoint"][0]  # its size and time follow; its parameters are compared apart
        for point in record["curve"]:
            del point["ms_per_sentence"]
        return record
    return path.read_bytes()


def _compare_checkpoints(run: Path, expected: Files, found: Files) -> list[str]:
    different = [f"only one has {run / name}" for name in sorted(expected.keys() ^ found.keys())]
    for name in sorted(expected.keys() & found.keys()):
        states = [load_checkpoint(files[name]) for files in (expected, found)]
        for part in ("model", "last_optimizer_state"):
            if not _equal(*(state[part] for state in states)):
                different.append(f"{part} of {run / name}")
        if len({updates_done(state) for state in states}) > 1:
            different.append(f"updates of {run / name}")
    return different


def _equal(first: Any, second: Any) -> bool:
    """Bit for bit, whatever the nesting."""
    if isinstance(first, torch.Tensor):
        return isinstance(second, torch.Tensor) and first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(_equal(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(_equal, first, second))
    return bool(first == second)


def leftovers(root: Path) -> list[Path]:
    """Half-written files and unfinished work."""
    unfinished = re.compile(r"\.tmp$|^unfinished-|^shards$|^binarised$")
    return [path for path in sorted(root.rglob("*")) if unfinished.search(path.name)]
