"""Reading parallel text: files whose line n is the translation of each other's line n."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from nat_plugin.errors import UserError
from scripts.lib.text import join_line_breaks

_GZIP_MAGIC = b"\x1f\x8b"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class SplitFiles:
    """The files of one split: two sides, and further references of the target side."""

    source: Path
    target: Path
    references: tuple[Path, ...] = ()

    @property
    def all(self) -> tuple[Path, ...]:
        return (self.source, self.target, *self.references)


@contextmanager
def open_text(path: Path) -> Iterator[IO[bytes]]:
    """Open a gzipped (told by its first bytes) or plain file; iterating over it splits at ``\\n`` alone."""
    try:
        with open(path, "rb") as plain:
            zipped = plain.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            plain.seek(0)
            # GzipFile reads like a file but does not inherit from IO.
            yield cast(IO[bytes], gzip.GzipFile(fileobj=plain)) if zipped else plain
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}: check the path.") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder: name a text file.") from error
    except EOFError as error:
        raise UserError(f"{path} is cut off (its gzip data ends too early): fetch or copy it again.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is damaged ({error}): fetch or copy it again.") from error


def count_lines(path: Path) -> int:
    """The number of lines; a last line without ``\\n`` counts.

    Raises:
        UserError: there is no such file, or it is cut off or damaged.
    """
    count, last = 0, b"\n"
    with open_text(path) as handle:
        while block := handle.read(_BLOCK):
            count += block.count(b"\n")
            last = block
    return count + (not last.endswith(b"\n"))


def check_lengths(files: SplitFiles) -> int:
    """The number of lines that all files of a split have.

    Raises:
        UserError: they differ, or there are none.
    """
    lines = count_lines(files.source)
    for other in files.all[1:]:
        if (count := count_lines(other)) != lines:
            raise UserError(
                f"{files.source} has {lines} lines but {other} has {count}: line n of one must be the translation of "
                "line n of the other."
            )
    if not lines:
        raise UserError(f"{files.source} has no lines: give a file with one sentence a line.")
    return lines


def read_lines(path: Path, *, replace_invalid: bool, changes: Counter[str]) -> Iterator[str]:
    """Yield each line without its end; only ``\\n`` ends a line, and other separators inside become spaces.

    Args:
        replace_invalid: put U+FFFD in place of bytes that are not UTF-8, and count the lines.
        changes: lines changed by reason are added to it.

    Raises:
        UserError: a line is not UTF-8, and ``replace_invalid`` is off.
    """
    with open_text(path) as handle:
        for number, raw in enumerate(handle, start=1):
            if number == 1:
                raw = raw.removeprefix(codecs.BOM_UTF8)
            try:
                line = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                if not replace_invalid:
                    raise UserError(
                        f"{path}:{number} is not UTF-8 (byte {error.start + 1} of the line): convert the file, or go "
                        "on with --replace-invalid-utf8."
                    ) from error
                changes["invalid UTF-8 replaced"] += 1
                line = raw.decode("utf-8", errors="replace")
            line = line.rstrip("\r\n")
            joined = join_line_breaks(line)
            changes["line separators inside replaced by spaces"] += joined != line
            yield joined


def read_parallel(
    files: SplitFiles, size: int, *, replace_invalid: bool, changes: Counter[str]
) -> Iterator[tuple[list[str], ...]]:
    """Yield chunks of up to ``size`` lines: one list a file, in the order of ``files.all``."""
    readers = [read_lines(path, replace_invalid=replace_invalid, changes=changes) for path in files.all]
    chunk: list[Sequence[str]] = []
    for lines in zip(*readers, strict=True):
        chunk.append(lines)
        if len(chunk) == size:
            yield tuple(map(list, zip(*chunk, strict=True)))
            chunk = []
    if chunk:
        yield tuple(map(list, zip(*chunk, strict=True)))


def sha256(path: Path) -> str:
    """The digest of the file's bytes.

    Raises:
        UserError: there is no such file.
    """
    try:
        with open(path, "rb") as handle:
            digest = hashlib.sha256()
            while block := handle.read(_BLOCK):
                digest.update(block)
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}: check the path.") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder: name a text file.") from error
    return digest.hexdigest()
