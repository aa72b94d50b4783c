"""What a second translation of the same sentence does to its latent variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from nat_plugin.analysis.latent_alignment import LatentAlignment, align_latents
from nat_plugin.errors import UserError
from scripts.lib.latent.posteriors import PosteriorReader
from scripts.lib.preparation.again import target_subwords
from scripts.lib.prepared_data import PreparedData, read_text


@dataclass(frozen=True)
class ReferencePair:
    """Two files of translations of one split, text and subwords line by line."""

    files: tuple[Path, Path]
    texts: tuple[list[str], list[str]]
    subwords: tuple[list[str], list[str]]

    @classmethod
    def load(cls, data: PreparedData, split: str, files: Sequence[Path] | None) -> ReferencePair | None:
        """The two ``files``, or else the first two references in the data folder; None where it has only one.

        Raises:
            UserError: a file is missing or is no text, or the data cannot be used.
        """
        if not files:
            first = data.folder / "raw" / f"{split}.{data.target_lang}"
            files = (first, first.with_name(f"{first.name}.1"))
            if not files[1].is_file():
                return None
        texts = (read_text(files[0]), read_text(files[1]))
        subwords = (target_subwords(data, texts[0]), target_subwords(data, texts[1]))
        return cls((files[0], files[1]), texts, subwords)


@dataclass(frozen=True)
class AlignedSentence:
    """One sentence's positions without the end marker, by z(x, y1) and z(x, y2)."""

    index: int
    """Its place in the split, from 0."""
    words: list[str]
    """The source's subwords."""
    translations: tuple[str, str]
    alignment: LatentAlignment


@dataclass(frozen=True)
class ComparedReferences:
    """All sentences with two different translations, in the order of the split, and what was left out."""

    sentences: list[AlignedSentence]
    equal: int
    """Left out: sentences whose two translations have the same subwords, so that z is the same."""
    missing: int
    """Left out: sentences of which a file has only an empty line."""
    unknown_tokens: int
    """Of the translations that were compared, those that the dictionary lacks."""


def compare_references(reader: PosteriorReader, pair: ReferencePair) -> ComparedReferences:
    """Align z(x, y1) and z(x, y2), the posterior's means, for each sentence x that has two translations.

    Raises:
        UserError: a file has not as many lines as the split has sentences, or no sentence has two translations.
    """
    datasets = [reader.with_targets(lines, str(path)) for path, lines in zip(pair.files, pair.subwords, strict=True)]
    both = list(zip(*pair.subwords, strict=True))
    missing = sum(not (first and second) for first, second in both)
    different = [index for index, (first, second) in enumerate(both) if first and second and first != second]
    if not different:
        raise UserError(
            f"no sentence has two different translations in {pair.files[0]} and {pair.files[1]}: name two other files "
            "with --references."
        )
    means = [_means(reader, dataset, different) for dataset in datasets]
    sentences = [
        AlignedSentence(
            index,
            reader.source_words(index),
            (pair.texts[0][index], pair.texts[1][index]),
            align_latents(means[0][index], means[1][index]),
        )
        for index in different
    ]
    unknown = sum(reader.unknown_tokens(dataset, different) for dataset in datasets)
    return ComparedReferences(sentences, len(both) - missing - len(different), missing, unknown)


def _means(reader: PosteriorReader, dataset: Any, indices: Sequence[int]) -> dict[int, np.ndarray]:
    """The posterior's means [S-1, D] of each pair, without those of the end marker."""
    found = {}
    with tqdm(total=len(indices), desc="references", unit=" sentences", disable=None) as progress:
        for batch in reader.read(dataset, indices):
            found.update({posterior.place: posterior.means[:-1] for posterior in batch})
            progress.update(len(batch))
    return found
