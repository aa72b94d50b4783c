"""Running ``fairseq-generate`` as a process of its own, and reading what it prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write
from nat_plugin.processors import cores
from scripts.lib.cli import shell
from scripts.lib.config import to_flags

USER_DIR = Path(__file__).resolve().parents[2] / "nat_plugin"

# Flags that generate_command writes itself, or without whose default there would be nothing to read.
_RESERVED_FLAGS = {
    "path": "--checkpoint",
    "task": "the run's config.yaml",
    "gen_subset": "--split",
    "user_dir": "nothing: it is always given",
    "results_path": "nothing: the log is kept beside the results",
    "quiet": "nothing: the printed hypotheses are what is read",
}
_OUTPUT_LINE = re.compile(r"([A-Z])-(\d+)(?:_\d+)?\t(.*)", re.DOTALL)
# In whatever format, and on whichever stream, logging happens to be set up.
_SUMMARY = re.compile(
    r"fairseq_cli\.generate\W+Translated ([\d,]+) sentences \(.*\) in ([\d.]+)s \(([\d.]+) sentences/s"
)
_ERROR_LINE = re.compile(r"(?:[\w.-]+: )?error: (.+)")
_TRACEBACK = "Traceback (most recent call last):"


@dataclass(frozen=True)
class Hypothesis:
    """One translation as the model wrote it."""

    tokens: str
    """Subwords (words where ``--remove-bpe`` was given), separated by spaces."""
    score: float
    """What the generator ranks by, usually the mean log-probability a token, in base 2 as fairseq prints it."""
    positional_scores: tuple[float, ...] = ()
    """Log-probability of each token, base 2."""


@dataclass(frozen=True)
class Generation:
    """What one ``fairseq-generate`` brought."""

    hypotheses: dict[int, list[Hypothesis]]
    """Sentence id (its place in the split, from 0) → n-best list, best first."""
    sentences: int
    """How many sentences fairseq says that it translated."""
    seconds: float
    """Wall time inside the generator alone: neither loading nor data reading. fairseq does not wait for the GPU around
    its timer, but every generator reads its result back before it returns."""
    threads: int
    """Processor threads that torch was given."""

    @property
    def ms_per_sentence(self) -> float:
        return 1000.0 * self.seconds / self.sentences


def generate_command(
    data_dir: str | os.PathLike[str],
    checkpoint: str | os.PathLike[str],
    *,
    task: str,
    flags: Mapping[str, Any],
    split: str = "test",
    user_dir: str | os.PathLike[str] = USER_DIR,
) -> list[str]:
    """The plain ``fairseq-generate`` command, as a user could type it.

    Args:
        data_dir: the binarised data.
        checkpoint: the model file.
        task: fairseq's name of the task.
        flags: further flags, ``length_candidates`` or ``length-candidates`` alike, and their values; see
            :func:`scripts.lib.config.to_flags`.
        split: which part of the data to translate.
        user_dir: the plugin; plain fairseq tasks need it too, for checkpoints to load on a new torch.

    Raises:
        UserError: a flag that is set here already, or that would hide the output.
    """
    options: dict[str, Any] = {
        "user_dir": displayed_path(user_dir),
        "task": task,
        "path": displayed_path(checkpoint),
        "gen_subset": split,
        # fairseq's batcher drops the last batch where it is no multiple of 8: without this, sentences get lost.
        "required_batch_size_multiple": 1,
        "no_progress_bar": True,
    }
    return ["fairseq-generate", displayed_path(data_dir), *to_flags(options | decoding_options(flags))]


def decoding_options(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Flags by the names that configurations give them.

    Raises:
        UserError: one that a command is given already, or that would hide its output.
    """
    options = {flag_key(name): value for name, value in flags.items()}
    for key in options.keys() & _RESERVED_FLAGS.keys():
        raise UserError(f"--{key.replace('_', '-')} cannot be a decoding flag: use {_RESERVED_FLAGS[key]}.")
    return options


def flag_key(name: str) -> str:
    """``--length-multiplier`` or ``length-multiplier`` as configurations write it: ``length_multiplier``."""
    return name.lstrip("-").replace("-", "_")


def displayed_path(path: str | os.PathLike[str]) -> str:
    """``path`` relative to the working directory where it lies below it: shorter, and the same on every machine."""
    relative = os.path.relpath(path)
    return os.path.abspath(path) if relative.startswith(os.pardir) else relative


class OutputReader:
    """Takes the output of fairseq-generate or fairseq-interactive line by line."""

    def __init__(self) -> None:
        self.hypotheses: dict[int, list[Hypothesis]] = {}
        self.translated: int | None = None
        self.seconds = 0.0

    def feed(self, line: str) -> None:
        match = _OUTPUT_LINE.fullmatch(line)
        if match is None:
            self._feed_log(line)
            return
        kind, sentence, rest = match[1], int(match[2]), match[3]
        try:
            if kind == "H":
                score, _, tokens = rest.partition("\t")
                self.hypotheses.setdefault(sentence, []).append(Hypothesis(tokens.strip(), float(score)))
            elif kind == "P":
                scores = tuple(float(score) for score in rest.split())
                best = self.hypotheses[sentence]
                best[-1] = Hypothesis(best[-1].tokens, best[-1].score, scores)
        except (ValueError, KeyError) as error:
            raise UserError(
                f"fairseq-generate's line {line[:80]!r} cannot be read: the output is damaged, translate again."
            ) from error

    def _feed_log(self, line: str) -> None:
        summary = _SUMMARY.search(line)
        if summary is None:
            return
        sentences, printed, rate = int(summary[1].replace(",", "")), float(summary[2]), float(summary[3])
        self.translated = sentences
        # Both figures are rounded, the seconds to 0.1 and the rate to 0.01: take the one that lost less.
        self.seconds = sentences / rate if rate > 0.1 * printed else printed


def parse_generate_output(lines: Iterable[str]) -> dict[int, list[Hypothesis]]:
    """Read the ``H-`` and ``P-`` lines among ``lines``; everything else is skipped.

    Returns:
        Sentence id → its hypotheses in the order printed, which is best first (``--nbest``).

    Raises:
        UserError: an ``H-`` or ``P-`` line without a number where its score belongs, or scores without a hypothesis.
    """
    reader = OutputReader()
    for line in lines:
        reader.feed(line.rstrip("\n"))
    return reader.hypotheses


def run_generate(
    command: Sequence[str],
    log_path: str | os.PathLike[str],
    *,
    sentences: int | None = None,
    description: str = "translating",
    threads: int | None = None,
) -> Generation:
    """Run a command of :func:`generate_command`, show progress, and keep all it printed in ``log_path``.

    Args:
        log_path: where standard output and, after it, standard error go, once the command has ended.
        sentences: how many are expected, for the progress bar alone; see :func:`check_complete`.
        description: the progress bar's label.
        threads: processor threads for torch; by default ``OMP_NUM_THREADS``, or all processors of this process.

    Raises:
        UserError: fairseq-generate failed; the message carries its own last error.
    """
    threads = threads or default_threads()
    reader = OutputReader()
    path = Path(log_path)
    with atomic_write(path) as log, tempfile.TemporaryFile() as errors:
        log.write(f"$ {shell(command)}\n")
        try:
            status = stream(command, log, errors, reader, sentences, description, threads)
        finally:
            errors.seek(0)
            error_text = errors.read().decode("utf-8", "replace")
            log.write(error_text)
    for line in error_text.splitlines():
        reader.feed(line)
    if status:
        reason = failure_sentence(error_text.splitlines(), status)
        raise UserError(f"fairseq-generate failed: {reason} (its log: {displayed_path(path)})")
    if not reader.translated:
        raise UserError(f"fairseq-generate translated nothing; its log is {displayed_path(path)}.")
    return Generation(reader.hypotheses, reader.translated, reader.seconds, threads)


def stream(
    command: Sequence[str],
    log: IO[str],
    errors: IO[bytes],
    reader: OutputReader,
    sentences: int | None,
    description: str,
    threads: int,
) -> int:
    """Run the command to its end and return its exit status; stop it if anything goes wrong here."""
    # fairseq's time is a log line, and only a log of level INFO has it.
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "LOGLEVEL": "INFO", "OMP_NUM_THREADS": str(threads)}
    arguments = [*executable(command[0]), *command[1:]]
    # Standard error goes to a file of its own: written into the same pipe it could land inside a hypothesis.
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=errors, env=environment) as process:
        assert process.stdout is not None
        try:
            with tqdm(total=sentences, desc=description, unit=" sentences", disable=None) as progress:
                for raw in process.stdout:  # bytes, so that only \n ends a line, whatever a token holds
                    line = raw.decode("utf-8", "replace")
                    log.write(line)
                    reader.feed(line.rstrip("\n"))
                    progress.update(len(reader.hypotheses) - progress.n)
        except BaseException:
            process.terminate()
            raise
    return process.returncode


def executable(name: str) -> list[str]:
    """How to start fairseq's command ``name`` (``fairseq-generate``, …) in this Python's environment."""
    beside = Path(sys.executable).with_name(name)
    if os.access(beside, os.X_OK):
        return [str(beside)]
    return [sys.executable, "-m", f"fairseq_cli.{name.removeprefix('fairseq-').replace('-', '_')}"]


def default_threads() -> int:
    """``OMP_NUM_THREADS`` where it is set, else the number of processors that this process may use."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    return cores()


def failure_sentence(lines: Sequence[str], status: int) -> str:
    """The one sentence of a failed fairseq command's standard error that says why.

    Args:
        lines: its standard error.
        status: its exit status; negative for a signal.
    """
    if status < 0:
        return f"it was ended by signal {-status}, as happens when memory runs out: lower --max-tokens or --batch-size."
    sentence = ""
    in_traceback = False
    for line in lines:
        error = _ERROR_LINE.fullmatch(line)
        if line == _TRACEBACK:
            in_traceback = True
        elif error:
            sentence = error[1]
        elif in_traceback and line and not line[0].isspace():
            # "module.Error: message": the first line that is not indented; a message may have many more.
            sentence, in_traceback = line.removeprefix("nat_plugin.errors.UserError: "), False
    return sentence or next((line for line in reversed(lines) if line.strip()), f"exit status {status}")


def check_complete(hypotheses: Mapping[int, Sequence[Hypothesis]], sentences: int, *, nbest: int = 1) -> None:
    """Make sure that each of the sentences 0 … ``sentences`` - 1 has between one and ``nbest`` hypotheses.

    Raises:
        UserError: sentences are missing, unknown or came more than once; the message counts each.
    """
    missing = [index for index in range(sentences) if index not in hypotheses]
    unknown = [index for index in hypotheses if not 0 <= index < sentences]
    repeated = [index for index, found in hypotheses.items() if len(found) > nbest]
    counts = {"missing": missing, "unknown": unknown, "there more than once": repeated}
    if any(counts.values()):
        details = ", ".join(f"{len(ids)} {what} (first: {min(ids)})" for what, ids in counts.items() if ids)
        raise UserError(
            f"fairseq-generate was to translate {sentences} sentences but of their ids are {details}: check that the "
            "binarised data and its raw/ files belong together, and that no flag leaves sentences out."
        )
