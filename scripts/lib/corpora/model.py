"""What a published corpus is: files to fetch, and the parallel text that lies in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from scripts.lib.downloads import Download

Layout = Literal["lines", "segments", "talks", "tsv", "tmx", "numbered"]
"""How text is written down; ``scripts/lib/corpora/layouts.py`` reads each."""
BOTH = "*"
"""In the place of a language: one member holds both."""


@dataclass(frozen=True)
class Corpus:
    """Parallel text that is published as one plain or gzipped file a split and language."""

    name: str
    """Folder of the files: ``data-raw/<name>``."""
    files: Mapping[str, Download]
    """``<split>.<language>``, with ``.gz`` where the file is gzipped, → where it is."""
    published_splits: Mapping[str, str]
    """Our split → its name in the published files, which ``--raw`` may point to just as well."""


@dataclass(frozen=True)
class Text:
    """Parallel text, or further references, in a published file: an archive, or a single plain or gzipped file."""

    file: str
    """A key of :attr:`Collection.files`."""
    layout: Layout = "lines"
    members: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Language, or :data:`BOTH`, → the files in the archive, as a shell pattern; several are read in the order of their
    names. ``{source}`` and ``{target}`` stand for the languages of the direction, ``{role}`` for ``src`` or ``ref``,
    which is how WMT names its test sets. Empty for a single file."""
    columns: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Of a ``tsv``: language → its column, from 0."""
    references: int = 0
    """Further references of every sentence that a ``numbered`` text holds."""

    def patterns(self, languages: Sequence[str]) -> dict[str, str]:
        """:attr:`members` for one direction."""
        source, target = languages
        return {
            language: pattern.format(source=source, target=target, role="src" if language == source else "ref")
            for language, pattern in self.members.items()
        }

    def describe(self, languages: Sequence[str]) -> str:
        """The text for a user: its members and the file that they are in."""
        members = " ".join(dict.fromkeys(self.patterns(languages).values()))
        where = f"{members} in {self.file}" if members else self.file
        return where if self.layout == "lines" else f"{where} ({self.layout})"


@dataclass(frozen=True)
class Collection:
    """Parallel text put together from archives."""

    name: str
    """Folder of the files: ``data-raw/<name>``."""
    files: Mapping[str, Download]
    """File name → where it is."""
    texts: Mapping[str, tuple[Text, ...]]
    """Split → the texts that make it, one after another."""
    references: tuple[Text, ...] = ()
    """Further references of the test set: texts of the target language alone, line by line with its sentences."""
    held_out_every: int = 0
    """Where ``valid`` is none of :attr:`texts`: it is every n-th pair of the training text, which loses them."""

    def split_texts(self, split: str) -> tuple[Text, ...]:
        """The texts that ``split`` is made from."""
        return self.texts["train" if split == "valid" and self.held_out_every else split]

    def needed(self) -> dict[str, Download]:
        """The files that a recipe fetches."""
        used = [text.file for texts in self.texts.values() for text in texts]
        used += [text.file for text in self.references]
        return {name: self.files[name] for name in dict.fromkeys(used)}


@dataclass(frozen=True)
class StatedSize:
    """A number of pairs that a paper, or the publisher, states, to which a prepared split is held."""

    split: str
    pairs: int
    tolerance: float
    """Largest difference, as a share of :attr:`pairs`."""
    stated_by: str
    """For the user, with the place."""
    when: Literal["published", "kept"] = "kept"
    """What is counted: the pairs in the published files, or those that are left in the end."""


@dataclass(frozen=True)
class Recipe:
    """A direction of a corpus, and the options of ``scripts/prepare.py`` that differ from its defaults."""

    corpus: Corpus | Collection
    source_lang: str
    target_lang: str
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    sizes: tuple[StatedSize, ...] = ()
