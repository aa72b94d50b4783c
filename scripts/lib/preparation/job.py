"""What is to be prepared and how, and what the stages share."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tqdm import tqdm

from scripts.lib.corpora.model import StatedSize
from scripts.lib.parallel_text import SplitFiles
from scripts.lib.text import RomanianKind, SubwordKind, TokenizerKind

if TYPE_CHECKING:
    from scripts.lib.preparation.assemble import Assembly

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
    lowercase: bool
    romanian: RomanianKind
    count_words: bool


@dataclass(frozen=True)
class Job:
    """One data folder to be made."""

    languages: Languages
    files: Mapping[str, SplitFiles]
    """``train``, ``valid`` and perhaps ``test``."""
    digests: Mapping[Path, str]
    """File of :attr:`files` → what its content is known by: its sha256, or the key of the stage that makes it."""
    inputs: Mapping[Path, str]
    """sha256 of every file that was given or fetched."""
    output: Path
    options: Options
    workers: int
    assemblies: Mapping[str, Assembly] = field(default_factory=dict)
    """Split → what it is put together from, for those that have to be."""
    assembly_keys: Mapping[str, str] = field(default_factory=dict)
    """Split → key of the stage that puts it together."""
    sizes: tuple[StatedSize, ...] = ()
    """What the result is held to."""
    strict: bool = False
    """Whether other files than the published ones, and other sizes than the stated ones, are refused."""


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
    """How many processes so many lines are worth."""
    return max(1, min(job.workers, lines // _WORTH_A_WORKER))


def progress_bar(description: str, lines: int | None) -> tqdm[Any]:
    """``lines`` is None where they are not known beforehand."""
    return tqdm(total=lines, desc=description, unit=" lines", disable=None)


def create(stack: ExitStack, path: Path) -> IO[str]:
    """A new UTF-8 file, and its folder; closed with ``stack``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return stack.enter_context(open(path, "w", encoding="utf-8", newline="\n"))


def write(handles: Sequence[IO[str]], columns: Sequence[Sequence[str]]) -> None:
    """Write each column of lines to its file."""
    for handle, lines in zip(handles, columns, strict=False):
        handle.writelines(f"{line}\n" for line in lines)


def read_chunks(readers: Sequence[IO[str]]) -> Iterator[Chunk]:
    """Lines of parallel files, some thousands at a time, as a column for each file."""
    rows = zip(*readers, strict=True)
    while chunk := list(islice(rows, CHUNK)):
        yield tuple([line.rstrip("\n") for line in column] for column in zip(*chunk, strict=True))
