"""The first stage: normalise and tokenise one split.

Every line of the input gives a line, whatever it holds, so that line numbers stay those of the input.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, Any

from nat_plugin.errors import UserError
from scripts.lib.parallel_text import SplitFiles, check_lengths, read_parallel
from scripts.lib.preparation.job import (
    CHUNK,
    STAGES,
    Chunk,
    Job,
    Languages,
    Options,
    create,
    library_versions,
    progress_bar,
    side_names,
    worker_count,
    write,
)
from scripts.lib.stages import Stage, fingerprint
from scripts.lib.text import ROMANIAN, Normaliser, Tokenizer, has_reserved
from scripts.lib.workers import map_in_order


def tokenise_stage(job: Job, split: str) -> Stage:
    files, options = job.files[split], job.options
    key = fingerprint(
        {
            "files": [job.digests[path] for path in files.all],
            "tokenizer": [options.tokenizer[language] for language in job.languages],
            "languages": job.languages,
            "punctuation": options.normalise_punctuation,
            "subword": options.subword,
            "replace_invalid_utf8": options.replace_invalid_utf8,
            "versions": library_versions("sacremoses"),
            **_further_options(options, job.languages),
        }
    )
    kinds = ", ".join(f"{language} {options.tokenizer[language]}" for language in job.languages)
    kinds += ", lower case" if options.lowercase else ""
    if ROMANIAN in job.languages and options.romanian != "as-is":
        kinds += f", Romanian letters {options.romanian}"
    describe = f"normalise and tokenise {split} ({kinds}): " + " ".join(map(str, files.all))
    return Stage(f"tokenise-{split}", describe, key, job.output / STAGES, partial(_tokenise, job, split))


def _further_options(options: Options, languages: Languages) -> dict[str, Any]:
    """Options that few use: left out where they say nothing, so that folders from before they were there still hold."""
    further: dict[str, Any] = {}
    if options.lowercase:
        further["lowercase"] = True
    if options.romanian != "as-is" and ROMANIAN in languages:
        further["romanian"] = options.romanian
    if "jieba" in options.tokenizer.values():
        further["rjieba"] = library_versions("rjieba")
    return further


def _tokenise(job: Job, split: str, folder: Path) -> dict[str, Any]:
    files = job.files[split]
    lines = check_lengths(files)
    changes: Counter[str] = Counter()
    factory = partial(_ChunkTokenizer, job.languages, job.options)
    with ExitStack() as stack:
        names = side_names(split, job.languages, files)
        raw, tok = ([create(stack, folder / f"{kind}.{name}") for name in names] for kind in ("raw", "tok"))
        progress = stack.enter_context(progress_bar(f"tokenise {split}", lines))
        chunks = _write_through(
            read_parallel(files, CHUNK, replace_invalid=job.options.replace_invalid_utf8, changes=changes), raw
        )
        done = 0
        for tokenised, reserved in map_in_order(factory, chunks, worker_count(job, lines)):
            if split == "test":
                _refuse_empty(files, tokenised, done)
            write(tok, tokenised)
            changes["reserved symbols neutralised"] += reserved
            done += len(tokenised[0])
            progress.update(len(tokenised[0]))
    return {"changed": {reason: number for reason, number in changes.items() if number}}


class _ChunkTokenizer:
    """Tokenises a chunk (source, target, further references), and counts the lines that hold reserved symbols."""

    def __init__(self, languages: Languages, options: Options) -> None:
        self._subword = options.subword
        self._sides: list[tuple[Normaliser, Tokenizer]] = []
        for language in languages:
            kind = options.tokenizer[language]
            # On text that is split already, Moses's rules would glue tokens together (" :" to ":").
            punctuation = options.normalise_punctuation and kind == "moses"
            self._sides.append(
                (
                    Normaliser(language, punctuation=punctuation, romanian=options.romanian),
                    Tokenizer(language, kind, options.subword, lowercase=options.lowercase),
                )
            )

    def __call__(self, chunk: Chunk) -> tuple[Chunk, int]:
        tokenised = []
        reserved = 0
        source, target = self._sides
        for lines, (normalise, tokenise) in zip(chunk, [source] + [target] * (len(chunk) - 1), strict=True):
            tokenised.append([tokenise(normalise(line)) for line in lines])
            reserved += sum(has_reserved(line, self._subword) for line in lines)
        return tuple(tokenised), reserved


def _refuse_empty(files: SplitFiles, tokenised: Chunk, before: int) -> None:
    for path, lines in zip((files.source, files.target), tokenised[:2], strict=True):
        if "" in lines:
            raise UserError(
                f"{path}:{before + lines.index('') + 1} is empty, and test sentences are never dropped: write the "
                "sentence there, or delete that line from every file of the test set."
            )


def _write_through(chunks: Iterator[Chunk], handles: Sequence[IO[str]]) -> Iterator[Chunk]:
    """Write every chunk as it passes."""
    for chunk in chunks:
        write(handles, chunk)
        yield chunk
