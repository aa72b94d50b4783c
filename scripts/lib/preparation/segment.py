"""The middle stages: learn subwords, split the text into them, and leave out pairs that cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from nat_plugin.errors import UserError
from scripts.lib import subwords
from scripts.lib.cleaning import Limits, PairFilter
from scripts.lib.parallel_text import SplitFiles, count_lines
from scripts.lib.preparation.job import (
    STAGES,
    Chunk,
    Job,
    Options,
    create,
    library_versions,
    progress_bar,
    read_chunks,
    side_names,
    worker_count,
    write,
)
from scripts.lib.stages import Stage, fingerprint
from scripts.lib.workers import map_in_order


def learn_stage(job: Job, train: Stage) -> Stage | None:
    options = job.options
    if options.subword == "none":
        return None
    key = fingerprint(
        {
            "train": train.key,
            "kind": options.subword,
            "size": options.subword_size,
            "joint": options.joint_subwords,
            "versions": library_versions("subword-nmt" if options.subword == "bpe" else "sentencepiece"),
        }
    )
    what = f"{options.subword_size} merges" if options.subword == "bpe" else f"{options.subword_size} pieces"
    describe = f"learn {options.subword}, {what}, " + (
        "both languages together" if options.joint_subwords else "each language by itself"
    )
    return Stage("learn", describe, key, job.output, partial(_learn, job))


def _learn(job: Job, folder: Path) -> dict[str, Any]:
    options = job.options
    for languages, name in _models(job).items():
        files = [job.output / STAGES / f"tok.train.{language}" for language in languages]
        print(f"learning {name} from the training text in {' and '.join(languages)}", flush=True)
        subwords.learn(options.subword, files, folder / name, options.subword_size)
    return {}


def _models(job: Job) -> dict[tuple[str, ...], str]:
    """Languages that share a model → its file in the data folder."""
    groups = [job.languages] if job.options.joint_subwords else [(language,) for language in job.languages]
    return {group: subwords.model_name(job.options.subword, None if len(group) == 2 else group[0]) for group in groups}


def segment_stage(job: Job, split: str, tokenise: Stage, learn: Stage | None) -> Stage:
    limits = _limits(job.options, split)
    parts = {"text": tokenise.key, "model": learn.key if learn else None, "limits": asdict(limits)}
    counted = "subwords"
    if job.options.count_words and split != "test":
        parts["counted"] = counted = "words"
    key = fingerprint(parts)
    describe = f"split {split} into subwords ({job.options.subword}), at most {limits.max_tokens} {counted} a sentence"
    if limits.max_ratio is not None:
        describe += f", ratio at most {limits.max_ratio:g}"
    if limits.drop_duplicates:
        describe += ", no duplicates"
    return Stage(f"segment-{split}", describe, key, job.output, partial(_segment, job, split))


def _limits(options: Options, split: str) -> Limits:
    if split == "test":
        return Limits(options.max_test_tokens)
    return Limits(options.max_tokens, options.max_ratio, options.drop_duplicates and split == "train")


def _segment(job: Job, split: str, folder: Path) -> dict[str, Any]:
    files = job.files[split]
    names = side_names(split, job.languages, files)
    text = [job.output / STAGES / f"{kind}.{name}" for kind in ("raw", "tok") for name in names]
    pairs = PairFilter(_limits(job.options, split))
    words = slice(len(names), len(names) + 2)  # raw, then tokenised, then the subwords of source and target
    counted = words if job.options.count_words and split != "test" else slice(-2, None)
    tokens = [0, 0]
    lines = count_lines(text[0])
    with ExitStack() as stack:
        readers = [stack.enter_context(open(path, encoding="utf-8", newline="\n")) for path in text]
        targets = [folder / kind / name for kind in ("raw", "tok") for name in names]
        targets += [folder / "bpe" / name for name in names[:2]]
        writers = [create(stack, path) for path in targets]
        progress = stack.enter_context(progress_bar(f"segment {split}", lines))
        numbers = count(1)
        for chunk in map_in_order(partial(_ChunkSegmenter, job), read_chunks(readers), worker_count(job, lines)):
            kept = []
            for number, row in zip(numbers, zip(*chunk, strict=True), strict=False):
                if pairs.keep(number, row[:2], row[counted]):
                    kept.append(row)
                    for side, line in enumerate(row[-2:]):
                        tokens[side] += line.count(" ") + 1
                elif split == "test":
                    _refuse_too_long(files, row[-2:], number, job.options.max_test_tokens)
            write(writers, tuple(zip(*kept, strict=True)))
            progress.update(len(chunk[0]))
    result = pairs.counts()
    if not pairs.kept:
        reasons = ", ".join(f"{reason}: {number}" for reason, number in result["dropped"].items())
        raise UserError(f"no pair of {split} is left ({reasons}): check the files, and --max-tokens and --max-ratio.")
    return {**result, "tokens": dict(zip(job.languages, tokens, strict=True))}


class _ChunkSegmenter:
    """Adds the subwords of source and target to a chunk whose columns are the texts and then their tokens."""

    def __init__(self, job: Job) -> None:
        kind = job.options.subword
        models = {language: name for group, name in _models(job).items() for language in group}
        self._sides = [subwords.load(kind, job.output / models[language]) for language in job.languages]

    def __call__(self, chunk: Chunk) -> Chunk:
        tokens = chunk[len(chunk) // 2 :]
        return (*chunk, *([segment(line) for line in tokens[side]] for side, segment in enumerate(self._sides)))


def _refuse_too_long(files: SplitFiles, sides: Sequence[str], number: int, limit: int) -> None:
    path, line = max(zip((files.source, files.target), sides, strict=True), key=lambda side: len(side[1].split()))
    raise UserError(
        f"{path}:{number} has {len(line.split())} tokens, more than {limit}, and test sentences are never dropped: "
        "divide it into sentences (in every file of the test set), or raise --max-test-tokens and train with as many "
        "positions."
    )
