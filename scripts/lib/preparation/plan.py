"""The stages that make a data folder: put together, tokenise, learn subwords, segment and clean, binarise."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from nat_plugin.errors import UserError
from nat_plugin.symbols import SPECIAL_SYMBOLS
from scripts.lib.binarise import dictionary_size, preprocess, preprocess_command, read_binarised
from scripts.lib.preparation.assemble import assemble_stage
from scripts.lib.preparation.job import STAGES, Job, library_versions
from scripts.lib.preparation.segment import learn_stage, segment_stage
from scripts.lib.preparation.tokenise import tokenise_stage
from scripts.lib.stages import Stage, StageStore, fingerprint


def plan(job: Job) -> list[Stage]:
    """The stages that make ``job``'s folder, in order; each one's key holds the keys of those before it."""
    assemble = [assemble_stage(job, split) for split in job.assemblies]
    tokenise = {split: tokenise_stage(job, split) for split in job.files}
    learn = learn_stage(job, tokenise["train"])
    segment = {split: segment_stage(job, split, stage, learn) for split, stage in tokenise.items()}
    return [
        *assemble,
        *tokenise.values(),
        *([learn] if learn else []),
        *segment.values(),
        _binarise_stage(job, segment),
    ]


def store(job: Job) -> StageStore:
    """Where the job's stages are remembered."""
    return StageStore(job.output / STAGES)


def shown_command(job: Job) -> list[str]:
    """The ``fairseq-preprocess`` command with the folder that the files are in at the end."""
    return _preprocess_command(job, job.output)


def _binarise_stage(job: Job, segment: Mapping[str, Stage]) -> Stage:
    key = fingerprint(
        {
            "text": [stage.key for stage in segment.values()],
            "joined": job.options.joined_dictionary,
            "min_count": job.options.min_count,
            "symbols": SPECIAL_SYMBOLS,
            "versions": library_versions("fairseq", "fairseq-fixed"),
        }
    )
    dictionary = "one dictionary" if job.options.joined_dictionary else "a dictionary for each language"
    return Stage("binarise", f"binarise, {dictionary}", key, job.output, partial(_binarise, job))


def _preprocess_command(job: Job, destination: Path) -> list[str]:
    return preprocess_command(
        job.output / "bpe",
        {split: split for split in job.files},
        job.languages,
        destination,
        joined=job.options.joined_dictionary,
        workers=job.workers,
        min_count=job.options.min_count,
    )


def _binarise(job: Job, folder: Path) -> dict[str, Any]:
    log = job.output / STAGES / "fairseq-preprocess.log"
    preprocess(_preprocess_command(job, folder), log)
    (folder / "preprocess.log").unlink(missing_ok=True)  # fairseq's own, a part of ours
    splits = {}
    for split in job.files:
        sides = {}
        for language in job.languages:
            found = read_binarised(folder / f"{split}.{job.languages[0]}-{job.languages[1]}.{language}")
            text = job.output / "bpe" / f"{split}.{language}"
            sentences, tokens = _size(text)
            if (found.sentences, found.tokens) != (sentences, tokens):
                raise UserError(
                    f"fairseq-preprocess wrote {found.sentences} sentences with {found.tokens} tokens for the "
                    f"{sentences} lines with {tokens} tokens of {text}: see {log}."
                )
            sides[language] = found
        splits[split] = {
            "types": {language: side.types for language, side in sides.items()},
            "unknown": {language: side.unknown for language, side in sides.items()},
        }
    sizes = {language: dictionary_size(folder / f"dict.{language}.txt") for language in job.languages}
    return {"splits": splits, "dictionaries": sizes}


def _size(text: Path) -> tuple[int, int]:
    """Lines and tokens of a file with a space between tokens."""
    lines = tokens = 0
    with open(text, "rb") as handle:
        for line in handle:
            lines += 1
            tokens += line.count(b" ") + 1
    return lines, tokens
