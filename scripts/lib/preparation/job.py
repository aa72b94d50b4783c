"""What is to be prepared and how, and what the stages share."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from scripts.lib.parallel_text import SplitFiles
from scripts.lib.text import SubwordKind, TokenizerKind

STAGES = ".stages"  # in the data folder: what each stage was made from, and the text before cleaning
CHUNK = 500  # lines that a worker gets at a time
_WORTH_A_WORKER = 2000  # lines; starting a process costs more than tokenising fewer

Languages = tuple[str, str]
Chunk = tuple[list[str], ...]
"""Columns of equal length, one a file."""


@dataclass(frozen=True)
class Options:
    """How text is prepared; ``scripts/prepare.py --help`` explains each."""

    tokenizer: Mapping[str, TokenizerKind]
    normalise_punctuation: bool
    subword: SubwordKind
    subword_size: int
    joint_subwords: bool
    joined_dictionary: bool
    min_count: int
    max_tokens: int
    max_test_tokens: int
    max_ratio: float | None
    drop_duplicates: bool
    replace_invalid_utf8: bool


@dataclass(frozen=True)
class Job:
    """One data folder to be made."""

    languages: Languages
    files: Mapping[str, SplitFiles]
    """``train``, ``valid`` and perhaps ``test``."""
    digests: Mapping[Path, str]
    """sha256 of every file."""
    output: Path
    options: Options
    workers: int


def library_versions(*names: str) -> dict[str, str]:
    """The installed versions; packages that are not there are left out."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def side_names(split: str, languages: Languages, files: SplitFiles) -> list[str]:
    """``test.en``, ``test.de``, and ``test.de.1``, … for further references."""
    further = [f"{split}.{languages[1]}.{number}" for number in range(1, len(files.references) + 1)]
    return [*(f"{split}.{language}" for language in languages), *further]


def worker_count(job: Job, lines: int) -> int:
    return max(1, min(job.workers, lines // _WORTH_A_WORKER))


def progress_bar(description: str, lines: int) -> tqdm[Any]:
    return tqdm(total=lines, desc=description, unit=" lines", disable=None)


def create(stack: ExitStack, path: Path) -> IO[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return stack.enter_context(open(path, "w", encoding="utf-8", newline="\n"))


def write(handles: Sequence[IO[str]], columns: Sequence[Sequence[str]]) -> None:
    for handle, lines in zip(handles, columns, strict=False):
        handle.writelines(f"{line}\n" for line in lines)


def read_chunks(readers: Sequence[IO[str]]) -> Iterator[Chunk]:
    rows = zip(*readers, strict=True)
    while chunk := list(islice(rows, CHUNK)):
        yield tuple([line.rstrip("\n") for line in column] for column in zip(*chunk, strict=True))
