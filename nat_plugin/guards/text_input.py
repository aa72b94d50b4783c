"""What fairseq-interactive reads: strictly UTF-8, whatever the locale, and with the number of a line that is not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from typing import BinaryIO

from nat_plugin.errors import UserError
from nat_plugin.guards.patching import Function, replace


def install() -> None:
    # `python -m fairseq_cli.interactive` runs it as __main__
    for name in ("fairseq_cli.interactive", "__main__"):
        module = sys.modules.get(name)
        if hasattr(module, "buffered_read") and hasattr(module, "make_batches"):
            replace(module, "buffered_read", _guarded_reading)


def _guarded_reading(original: Function) -> Function:
    del original  # it reads by the locale, and its error names no line
    return read_sentences


def read_sentences(path: str, buffer_size: int) -> Iterator[list[str]]:
    """Yield the lines of a file, stripped, ``buffer_size`` at a time (the last time perhaps fewer).

    Args:
        path: a file, or ``-`` for standard input.

    Raises:
        UserError: there is no such file, or a line is not UTF-8.
    """
    name = "standard input" if path == "-" else path
    buffer: list[str] = []
    with _open(path) as lines:
        for number, line in enumerate(lines, start=1):
            buffer.append(_decode(line, name, number))
            if len(buffer) >= buffer_size:
                yield buffer
                buffer = []
    if buffer:
        yield buffer


def _open(path: str) -> BinaryIO | nullcontext[BinaryIO]:
    if path == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return open(path, "rb")
    except OSError as error:
        raise UserError(f"--input {path} cannot be read ({error.strerror}): give a text file, or - .") from error


def _decode(line: bytes, name: str, number: int) -> str:
    try:
        return line.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise UserError(
            f"line {number} of {name} is not valid UTF-8 (byte {error.start + 1}: 0x{line[error.start]:02x}): convert "
            "the text with iconv, or mend that line."
        ) from error
