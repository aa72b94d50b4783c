"""Reading the layouts in which parallel text is published: a list of columns (source, target, references) a pair."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from nat_plugin.errors import UserError
from scripts.lib.corpora.model import BOTH, Text
from scripts.lib.parallel_text import SplitFiles, check_lengths, open_text, read_lines, read_parallel
from scripts.lib.text import join_line_breaks

Row = Sequence[str]
Paths = Mapping[str, Sequence[Path]]
"""Language, or :data:`~scripts.lib.corpora.model.BOTH`, → files."""
Lines = Callable[[Path], Iterator[str]]

_CHUNK = 500
_SEGMENT = re.compile(r"<seg\b[^>]*>(.*?)</seg>", re.IGNORECASE)
_OPEN_SEGMENT = re.compile(r"<seg\b", re.IGNORECASE)
_KEPT_TAGS = re.compile(r"</?(?:title|description)>", re.IGNORECASE)
_NUMBERED = re.compile(r"(S|T|R\d+)-(\d+)\t(.*)")
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


def read(
    text: Text, paths: Paths, languages: Sequence[str], *, replace_invalid: bool, changes: Counter[str]
) -> Iterator[Row]:
    """Yield the pairs of ``text``, whose files were put at ``paths``.

    Args:
        languages: source and target; or the target alone, for further references of a test set.
        replace_invalid: see :func:`scripts.lib.parallel_text.read_lines`.
        changes: what was changed or left out while reading, by reason, is added to it.

    Raises:
        UserError: files that are no translations of each other line by line, or not written as ``text.layout`` says.
    """

    def lines(path: Path) -> Iterator[str]:
        return read_lines(path, replace_invalid=replace_invalid, changes=changes)

    if text.layout == "tsv":
        return _read_table(text, paths[BOTH], languages, lines, changes)
    if text.layout == "tmx":
        return _read_memory(paths[BOTH], languages, changes)
    if text.layout == "numbered":
        return _read_numbered(text, paths[BOTH], lines)
    if text.layout == "lines":
        return _read_lines(paths, languages, replace_invalid, changes)
    return _read_marked(_segments if text.layout == "segments" else _talks, paths, languages, lines)


def _sides(paths: Paths, languages: Sequence[str]) -> Iterator[list[Path]]:
    """The files of one part in every language."""
    numbers = {language: len(paths[language]) for language in languages}
    if len(set(numbers.values())) > 1:
        counts = " and ".join(f"{number} in '{language}'" for language, number in numbers.items())
        raise UserError(f"the archive has {counts} files, which cannot be matched: give the published archive.")
    yield from (list(side) for side in zip(*(paths[language] for language in languages), strict=True))


def _read_lines(paths: Paths, languages: Sequence[str], replace_invalid: bool, changes: Counter[str]) -> Iterator[Row]:
    for files in _sides(paths, languages):
        split = SplitFiles(files[0], files[-1])  # one file twice, where there is one language
        check_lengths(split)
        if len(files) == 1:
            yield from ([line] for line in read_lines(files[0], replace_invalid=replace_invalid, changes=changes))
            continue
        for chunk in read_parallel(split, _CHUNK, replace_invalid=replace_invalid, changes=changes):
            yield from zip(*chunk, strict=True)


def _read_marked(
    marked: Callable[[Path, Lines], list[str]], paths: Paths, languages: Sequence[str], lines: Lines
) -> Iterator[Row]:
    """Files with tags around sentences, read by ``marked``."""
    for files in _sides(paths, languages):
        columns = [marked(path, lines) for path in files]
        for path, column in zip(files, columns, strict=True):
            if len(column) != len(columns[0]):
                raise UserError(
                    f"{files[0]} has {len(columns[0])} sentences but {path} has {len(column)}: give the published "
                    "files."
                )
            if not column:
                raise UserError(f"{path} has no sentences between tags: give the published file.")
        yield from zip(*columns, strict=True)


def _segments(path: Path, lines: Lines) -> list[str]:
    """``<seg id="1">…</seg>``, as in WMT's .sgm and IWSLT's .xml. As sacreBLEU does, character references (``&amp;``)
    are left as they are: they are part of the published sentences."""
    found: list[str] = []
    begun = ""
    for line in lines(path):
        begun = f"{begun} {line}" if begun else line if _OPEN_SEGMENT.search(line) else ""
        if begun and "</seg>" in begun.lower():
            found += (" ".join(segment.split()) for segment in _SEGMENT.findall(begun))
            begun = ""
    if begun:
        raise UserError(f"{path} ends within a <seg>: it is cut off; fetch or copy it again.")
    return found


def _talks(path: Path, lines: Lines) -> list[str]:
    """IWSLT's training text: titles and descriptions without their tags, and none of the other tagged lines (addresses,
    keywords, …), which is what fairseq's prepare-iwslt14.sh keeps."""
    plain = (_KEPT_TAGS.sub("", line).strip() for line in lines(path))
    return [line for line in plain if not line.startswith("<")]


def _read_table(
    text: Text, files: Sequence[Path], languages: Sequence[str], lines: Lines, changes: Counter[str]
) -> Iterator[Row]:
    columns = [text.columns[language] for language in languages]
    for path in files:
        for line in lines(path):
            fields = line.split("\t")
            if len(fields) > max(columns):
                yield [fields[column] for column in columns]
            else:
                changes["left out: a line with too few columns"] += 1


def _read_memory(files: Sequence[Path], languages: Sequence[str], changes: Counter[str]) -> Iterator[Row]:
    """Translation memories, TMX: ``<tu><tuv xml:lang="en"><seg>…``."""
    for path in files:
        with open_text(path) as handle:
            try:
                for _, element in ElementTree.iterparse(handle):
                    if element.tag != "tu":
                        continue
                    sides = {_language(variant): _content(variant) for variant in element.iter("tuv")}
                    element.clear()  # the units of a whole corpus would not fit into memory
                    if all(language in sides for language in languages):
                        yield [sides[language] for language in languages]
                    else:
                        changes["left out: a translation unit without both languages"] += 1
            except ElementTree.ParseError as error:
                raise UserError(f"{path} is no whole translation memory ({error}): fetch or copy it again.") from error


def _language(variant: ElementTree.Element) -> str:
    name = variant.get(_XML_LANG) or variant.get("lang") or ""
    return re.split("[-_]", name.lower())[0]


def _content(variant: ElementTree.Element) -> str:
    segment = variant.find("seg")
    return "" if segment is None else join_line_breaks("".join(segment.itertext()).replace("\n", " "))


def _read_numbered(text: Text, files: Sequence[Path], lines: Lines) -> Iterator[Row]:
    """Ott et al. 2018: lines ``S-7<tab>source``, ``T-7<tab>target``, ``R1-7<tab>reference``, …, in any order."""
    names = ["S", "T", *(f"R{number}" for number in range(1, text.references + 1))]
    for path in files:
        sentences: dict[int, dict[str, str]] = {}
        for number, line in enumerate(lines(path), start=1):
            match = _NUMBERED.fullmatch(line)
            if match is None:
                raise UserError(
                    f"{path}:{number} is not S-, T- or R1-NUMBER, a tab and a sentence: give the published file."
                )
            sentences.setdefault(int(match[2]), {})[match[1]] = match[3]
        for identifier in sorted(sentences):
            found = sentences[identifier]
            if missing := [name for name in names if name not in found]:
                raise UserError(f"{path} lacks {missing[0]}-{identifier}: it is cut off; fetch or copy it again.")
            yield [found[name] for name in names]
