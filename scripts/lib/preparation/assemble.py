"""The stage before all others, for text that is published in archives or that noise is filtered out of: one plain file
a language, line by line translations of each other."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nat_plugin.errors import UserError
from scripts.lib.corpora.archives import is_archive, located
from scripts.lib.corpora.layouts import Row, read
from scripts.lib.corpora.model import BOTH, Collection, Text
from scripts.lib.downloads import Download, difference
from scripts.lib.noisy_pairs import NoiseFilter
from scripts.lib.parallel_text import SplitFiles
from scripts.lib.preparation.job import STAGES, Job, Languages, create, progress_bar
from scripts.lib.stages import Stage, fingerprint

_EXTRACTED = "extracted"


@dataclass(frozen=True)
class Located:
    """A text and where it lies on this machine."""

    text: Text
    files: Mapping[str, Path]
    """Language, or :data:`~scripts.lib.corpora.model.BOTH`, → its file; an archive stands under BOTH."""
    published: Download | None = None
    """What the file is held to."""


@dataclass(frozen=True)
class Assembly:
    """What one split is put together from."""

    texts: tuple[Located, ...]
    references: tuple[Located, ...] = ()
    """Further references, line by line with the texts."""
    every: int = 0
    """Every n-th pair is held out for validation; 0: none."""
    held_out: bool = False
    """Whether those pairs are wanted, or the others."""
    limits: Mapping[str, float] | None = None
    """Of :class:`~scripts.lib.noisy_pairs.NoiseFilter`."""

    @property
    def paths(self) -> list[Path]:
        """The files that are read."""
        return [path for text in (*self.texts, *self.references) for path in dict.fromkeys(text.files.values())]


def collection_assemblies(
    collection: Collection, folder: Path, limits: Mapping[str, float] | None
) -> dict[str, Assembly]:
    """How each split of ``collection`` is made of the files in ``folder``."""

    def locate(texts: Sequence[Text]) -> tuple[Located, ...]:
        return tuple(Located(text, {BOTH: folder / text.file}, collection.files[text.file]) for text in texts)

    every = collection.held_out_every
    return {
        "train": Assembly(locate(collection.split_texts("train")), every=every, limits=limits),
        "valid": Assembly(locate(collection.split_texts("valid")), every=every, held_out=every > 0),
        "test": Assembly(locate(collection.split_texts("test")), locate(collection.references)),
    }


def filtered_files(files: SplitFiles, languages: Languages, limits: Mapping[str, float]) -> Assembly:
    """Plain files of training text whose noise is to be left out."""
    sides = dict(zip(languages, (files.source, files.target), strict=True))
    return Assembly((Located(Text(f"{files.source.name} {files.target.name}"), sides),), limits=limits)


def assembled_files(split: str, assembly: Assembly, languages: Languages, output: Path) -> SplitFiles:
    """Where the stage puts its files."""
    further = len(assembly.references) + max((located.text.references for located in assembly.texts), default=0)
    source, target = (output / STAGES / f"text.{split}.{language}" for language in languages)
    references = (target.with_name(f"{target.name}.{number}") for number in range(1, further + 1))
    return SplitFiles(source, target, tuple(references))


def assembly_key(assembly: Assembly, languages: Languages, digests: Mapping[Path, str], replace_invalid: bool) -> str:
    """What the assembled text depends on."""

    def described(texts: Sequence[Located]) -> list[dict[str, Any]]:
        return [
            {
                "files": [digests[path] for path in located.files.values()],
                "layout": located.text.layout,
                "members": located.text.patterns(languages),
                "columns": dict(located.text.columns),
                "references": located.text.references,
            }
            for located in texts
        ]

    return fingerprint(
        {
            "texts": described(assembly.texts),
            "references": described(assembly.references),
            "every": assembly.every,
            "held_out": assembly.held_out,
            "limits": dict(assembly.limits) if assembly.limits is not None else None,
            "languages": languages,
            "replace_invalid_utf8": replace_invalid,
        }
    )


def assemble_stage(job: Job, split: str) -> Stage:
    assembly = job.assemblies[split]
    parts = [f"text: {located.text.describe(job.languages)}" for located in assembly.texts]
    parts += [f"further reference: {located.text.describe(job.languages)}" for located in assembly.references]
    if assembly.every:
        parts.append(f"of these, {'one pair' if assembly.held_out else 'all but one pair'} in {assembly.every}")
    if assembly.limits:
        limits = ", ".join(f"{rule} {limit:g}" for rule, limit in assembly.limits.items())
        parts.append(f"without noise: {limits}")
    describe = "\n    ".join([f"put {split} together, from", *parts])
    key = job.assembly_keys[split]
    return Stage(f"assemble-{split}", describe, key, job.output / STAGES, partial(_assemble, job, split))


def _assemble(job: Job, split: str, folder: Path) -> dict[str, Any]:
    assembly = job.assemblies[split]
    _check_published(assembly, strict=job.strict)
    changes: Counter[str] = Counter()
    sizes: dict[str, int] = {}
    noise = NoiseFilter(assembly.limits or {}, job.languages)
    held_out = 0
    with ExitStack() as stack:
        names = [path.name for path in job.files[split].all]
        writers = [create(stack, folder / name) for name in names]
        progress = stack.enter_context(progress_bar(f"assemble {split}", None))
        rows = _rows(job, assembly, folder / _EXTRACTED, sizes, changes)
        for number, row in enumerate(rows, start=1):
            progress.update()
            if assembly.every and (number % assembly.every == 0) != assembly.held_out:
                held_out += 1
                continue
            if noise.keep(row[:2]):
                for writer, line in zip(writers, row, strict=True):
                    writer.write(f"{line}\n")
    read_pairs = sum(sizes.values())
    if not read_pairs - held_out - noise.dropped.total():
        reasons = ", ".join(f"{rule}: {number}" for rule, number in noise.dropped.items()) or "the files hold none"
        raise UserError(f"no pair of {split} is left ({reasons}): check the files, and --filter-noise.")
    return {
        "texts": sizes,
        "read": read_pairs,
        "for_another_split": held_out,
        "noise": dict(noise.dropped),
        "changed": {reason: number for reason, number in changes.items() if number},
    }


def _rows(job: Job, assembly: Assembly, scratch: Path, sizes: dict[str, int], changes: Counter[str]) -> Iterator[Row]:
    """The pairs of all texts, each with its further references; ``sizes`` gets the pairs of each text."""
    references = _text_rows(job, assembly.references, job.languages[1:], scratch / "references", {}, changes)
    texts = _text_rows(job, assembly.texts, job.languages, scratch / "texts", sizes, changes)
    if not assembly.references:
        yield from (row for _, row in texts)
    else:
        columns: list[list[str]] = [[] for _ in assembly.references]
        for index, row in references:
            columns[index].append(row[0])
        pairs = [row for _, row in texts]
        for located_text, column in zip(assembly.references, columns, strict=True):
            if len(column) != len(pairs):
                raise UserError(
                    f"{located_text.text.describe(job.languages)} has {len(column)} lines for the {len(pairs)} test "
                    "sentences: give the published file."
                )
        yield from ([*pair, *further] for pair, *further in zip(pairs, *columns, strict=True))


def _text_rows(
    job: Job,
    texts: Sequence[Located],
    languages: Sequence[str],
    scratch: Path,
    sizes: dict[str, int],
    changes: Counter[str],
) -> Iterator[tuple[int, Row]]:
    """The rows of ``texts`` with the number of the text; what is taken out of an archive is deleted when it is read."""
    for index, text in enumerate(texts):
        name = text.text.describe(job.languages)
        sizes.setdefault(name, 0)
        paths = _paths(text, job.languages, scratch)
        for row in read(text.text, paths, languages, replace_invalid=job.options.replace_invalid_utf8, changes=changes):
            sizes[name] += 1
            yield index, row
        shutil.rmtree(scratch, ignore_errors=True)


def _paths(text: Located, languages: Languages, scratch: Path) -> dict[str, list[Path]]:
    whole = text.files.get(BOTH)
    if whole is None or not is_archive(whole):
        return {language: [path] for language, path in text.files.items()}
    return located(whole, text.text.patterns(languages), scratch)


def _check_published(assembly: Assembly, *, strict: bool) -> None:
    published = {
        path: text.published
        for text in (*assembly.texts, *assembly.references)
        for path in text.files.values()
        if text.published is not None
    }
    for path, download in published.items():
        problem = difference(download, path)
        if problem and strict:
            raise UserError(
                f"{path} is not the file that this recipe was made for ({problem}): fetch it anew, or leave --strict "
                "out."
            )
        if problem:
            print(f"note: {path} is not the file that this recipe was made for ({problem}).", flush=True)
