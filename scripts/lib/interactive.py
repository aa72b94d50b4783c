"""Running ``fairseq-interactive`` on a file, for text that is not binarised."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nat_plugin.errors import UserError
from scripts.lib.config import to_flags
from scripts.lib.generation import (
    USER_DIR,
    OutputReader,
    decoding_options,
    default_threads,
    displayed_path,
    failure_sentence,
    stream,
)

# Sentences that are sorted by length and batched together; fairseq's default is one.
_BUFFER = 4096
_MAX_TOKENS = 8192
_NUMBER = re.compile(r"\bnumber (\d+)")


def interactive_command(
    data_dir: str | os.PathLike[str],
    checkpoint: str | os.PathLike[str],
    source: Path,
    *,
    task: str,
    flags: Mapping[str, Any],
) -> list[str]:
    """The plain ``fairseq-interactive`` command.

    Args:
        data_dir: the folder with the dictionaries.
        checkpoint: the model file.
        source: subwords, one sentence a line.
        task, flags: as for :func:`scripts.lib.generation.generate_command`.

    Raises:
        UserError: a flag that is set here already, or that would hide the output.
    """
    options = {
        "user_dir": displayed_path(USER_DIR),
        "task": task,
        "path": displayed_path(checkpoint),
        "input": str(source),
        "buffer_size": _BUFFER,
    }
    options |= decoding_options(flags)
    if not {"batch_size", "max_tokens"} & options.keys():
        options["max_tokens"] = _MAX_TOKENS
    return ["fairseq-interactive", displayed_path(data_dir), *to_flags(options)]


def run_interactive(command: Sequence[str], places: Sequence[int], *, threads: int | None = None) -> list[str]:
    """Run a command of :func:`interactive_command` and return the best translation of each sentence, as subwords.

    Args:
        places: the number of each sentence in the user's text, from 0: messages name that.
        threads: processor threads; see :func:`scripts.lib.generation.run_generate`.

    Raises:
        UserError: fairseq-interactive failed, or a sentence has no translation.
    """
    reader = OutputReader()
    with open(os.devnull, "w", encoding="utf-8") as log, tempfile.TemporaryFile() as errors:
        status = stream(command, log, errors, reader, len(places), "translating", threads or default_threads())
        errors.seek(0)
        lines = errors.read().decode("utf-8", "replace").splitlines()
    if status:
        raise UserError(f"fairseq-interactive failed: {_in_the_text(failure_sentence(lines, status), places)}")
    missing = [place for sentence, place in enumerate(places) if sentence not in reader.hypotheses]
    if missing:
        raise UserError(
            f"{len(missing)} sentences have no translation, number {missing[0] + 1} for one: they are longer than "
            "the model takes; split them, or leave out --skip-invalid-size-inputs-valid-test to see their lengths."
        )
    return [reader.hypotheses[sentence][0].tokens for sentence in range(len(places))]


def _in_the_text(sentence: str, places: Sequence[int]) -> str:
    """A message about a sentence by its number there, which counts empty lines too."""

    def renumbered(said: re.Match[str]) -> str:
        number = int(said[1])
        return f"number {places[number - 1] + 1}" if 1 <= number <= len(places) else said[0]

    return _NUMBER.sub(renumbered, sentence)
