"""Reads what fairseq-train prints: progress for the terminal, and one sentence for what went wrong."""

from __future__ import annotations

import json
import os
import re
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nat_plugin.errors import UserError

_LINE = re.compile(r"\| (train_inner|train|valid) \| (\{.*\})\s*$")
_KEPT_LINES = 400
_NOT_FINITE = "error: training stopped because"  # as nat_plugin.guards.messages begins

# What the end of a log says → what the user is told. The first that matches wins.
_CAUSES = (
    (
        re.compile(r"Minimum loss scale reached"),
        "fp16 overflowed until the loss scale was at its minimum: lower fairseq.lr, or use machine.precision=bf16 or "
        "fp32",
    ),
    (
        re.compile(
            rf"FloatingPointError|gradients are Nan|Loss is (nan|inf)|losses? became nan|^{_NOT_FINITE}", re.IGNORECASE
        ),
        "the loss or its gradients became NaN or infinite, and the same words lead there again: lower fairseq.lr, "
        "raise fairseq.warmup_updates or set fairseq.clip_norm, in a new training with run=OTHER_DIRECTORY "
        "(start_from=THIS_DIRECTORY begins it with the weights saved in this one)",
    ),
    (
        re.compile(
            r"No space left on device|Disk quota exceeded|File too large|file write failed|PytorchStreamWriter failed",
            re.IGNORECASE,
        ),
        "no space is left on the disk: free some and run the same command again, it goes on from the last checkpoint",
    ),
    (
        re.compile(r"CUDA out of memory|CUDA error: out of memory|OutOfMemoryError"),
        "the GPU's memory is full: lower machine.max_tokens; the batch stays the same, in more pieces",
    ),
    (
        re.compile(r"exceeds max_tokens limit of (\d+)"),
        "a sentence is longer than the tokens one process takes at once: raise batch_tokens or machine.max_tokens",
    ),
)


class TrainingLog:
    """Writes each line to a file and shows the essential numbers on the terminal.

    Args:
        path: the log file; a continued training adds to it, on a line of its own also where a kill tore the last one.
        max_update: the length of the progress bar, or None.
    """

    def __init__(self, path: Path, max_update: int | None) -> None:
        self._file = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 (closed in close)
        if _is_torn(path):
            self._file.write("\n")
        self._tail: deque[str] = deque(maxlen=_KEPT_LINES)
        # A log file or a pipe gets a line every half minute, a terminal one that renews itself.
        interval = 0.5 if sys.stderr.isatty() else 30.0
        self._bar = tqdm(total=max_update, unit=" updates", mininterval=interval, dynamic_ncols=True, smoothing=0.1)
        self._numbers: dict[str, Any] = {}

    def take(self, line: str) -> None:
        """Handle one line of fairseq-train's output."""
        self._file.write(line if line.endswith("\n") else line + "\n")
        self._tail.append(line.rstrip())
        found = _read_line(line)
        if found:
            self._show(*found)

    def _show(self, stage: str, values: dict[str, Any]) -> None:
        # In the lines of a validation every key carries the prefix "valid_", in those of an epoch "train_".
        updates = next((values[key] for key in ("num_updates", f"{stage}_num_updates") if key in values), None)
        if updates is not None:
            self._advance(int(updates))
        if stage == "train_inner":
            self._numbers["loss"] = values.get("loss")
        elif stage == "valid":
            self._numbers["valid loss"] = values.get("valid_loss")
            if "valid_bleu" in values:
                self._numbers["valid BLEU"] = values["valid_bleu"]
        self._bar.set_postfix(self._numbers, refresh=False)

    def _advance(self, updates: int) -> None:
        if self._bar.n == 0 and self._bar.initial == 0 and updates:
            # The rate and the remaining time count only what is trained now.
            self._bar.initial = self._bar.n = updates
            self._bar.last_print_n = updates
        self._bar.update(max(0, updates - self._bar.n))

    def close(self) -> None:
        self._bar.refresh()
        self._bar.close()
        self._file.close()

    def explain_failure(self, status: int, log_file: Path) -> str:
        """One sentence on why fairseq-train ended with ``status``."""
        return explain_failure(list(self._tail), status, log_file)


@dataclass(frozen=True)
class Curves:
    """How a loss fell, in fairseq's bits: after how many updates → what the log said.

    Attributes:
        training: means over the updates since the line before.
        validation: on the validation set.
    """

    training: dict[int, float]
    validation: dict[int, float]


def read_curves(path: Path) -> Curves:
    """The losses of a training; of updates that were done again after an interruption, the later figures.

    Raises:
        UserError: there is no such log, or no loss in it.
    """
    curves = Curves({}, {})
    for stage, values in _read_lines(path):
        if stage == "train":
            continue
        prefix, curve = ("valid_", curves.validation) if stage == "valid" else ("", curves.training)
        updates = int(values[f"{prefix}num_updates"])
        for later in [number for number in curve if number > updates]:
            del curve[later]
        curve[updates] = float(values[f"{prefix}loss"])
    if not curves.training and not curves.validation:
        raise UserError(f"{path} holds no loss: was the training stopped before its first line?")
    return curves


def read_last(path: Path, prefix: str) -> dict[str, float]:
    """What the log said last of each of the figures whose names begin with ``prefix``.

    Raises:
        UserError: there is no such log, or no such figure in it.
    """
    found: dict[str, float] = {}
    for stage, values in _read_lines(path):
        if stage == "train_inner":
            found |= {key: float(value) for key, value in values.items() if key.startswith(prefix)}
    if not found:
        raise UserError(f"{path} says nothing of {prefix}…: was the training stopped before its first line?")
    return found


def last_validation(path: Path, name: str) -> float | None:
    """A figure of the last validation of a training, such as ``skip_target``; None where its log has none."""
    found = None
    for stage, values in _read_lines(path) if path.is_file() else ():
        if stage == "valid":
            found = values.get(f"valid_{name}", found)
    return None if found is None else float(found)


def _read_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line of figures: its stage (``train_inner``, ``train`` or ``valid``) and the figures."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): train with scripts/train.py.") from error
    yield from filter(None, map(_read_line, lines))


def _read_line(line: str) -> tuple[str, dict[str, Any]] | None:
    """The stage and the numbers of a line of fairseq's JSON log; None for any other, and for one that a kill tore."""
    match = _LINE.search(line)
    if not match:
        return None
    try:
        return match[1], json.loads(match[2])
    except ValueError:
        return None


def _is_torn(path: Path) -> bool:
    with open(path, "rb") as handle:
        size = handle.seek(0, os.SEEK_END)
        handle.seek(max(0, size - 1))
        return size > 0 and handle.read(1) != b"\n"


def explain_failure(lines: list[str], status: int, log_file: Path) -> str:
    """The cause of a failed training, from the last lines of its log.

    Args:
        lines: without line ends.
        status: the exit status; negative for a signal.
    """
    sentences = [line for line in lines if line.startswith("error: ")]
    if sentences and not sentences[-1].startswith(_NOT_FINITE):  # there the remedy is in our words, not fairseq's flags
        return sentences[-1].removeprefix("error: ")
    for pattern, sentence in _CAUSES:
        if any(pattern.search(line) for line in lines):
            return f"{sentence} (see {log_file})."
    usage = [line for line in lines if ": error: " in line]
    if usage:
        return f"fairseq refuses a flag: {usage[-1].split(': error: ', 1)[1]}; check the fairseq.… keys."
    if status < 0:
        return (
            f"fairseq-train was ended by signal {-status} (9 is often a lack of memory): run the same command again, "
            f"it goes on from the last checkpoint (see {log_file})."
        )
    last = next((line for line in reversed(lines) if re.match(r"\w[\w.]*(Error|Exception)\b", line)), "")
    return f"fairseq-train ended with status {status}{': ' + last if last else ''} (see {log_file})."
