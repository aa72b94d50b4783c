"""Are the training targets a teacher's, and are validation and test as people wrote them?"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nat_plugin.errors import UserError
from scripts.lib.doctor.findings import Finding, good, note, problem
from scripts.lib.doctor.folder import BINARISE_AGAIN, SPLITS, UNKNOWN, DataFolder, Side
from scripts.lib.generation import displayed_path
from scripts.lib.prepared_data import PreparedData, read_text

_OTHER_LENGTH = 0.05
_TEST_STAYS = "distil the training set alone, with scripts/distill.py"


def examine_distillation(data: DataFolder) -> Iterator[Finding]:
    """Where the training targets come from, and whether the others were left alone."""
    path = data.folder / "distill.json"
    if path.is_file():
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            replaced = sum(record["replaced"].values())
            yield good(
                f"distilled: the training targets are those of {record['checkpoint']}, beam "
                f"{record['settings']['beam']}; {replaced} of {record['sentences']} are the original ones, where the "
                "teacher's could not be used"
            )
            yield from _as_in_the_original(data, Path(shlex.split(record["command"])[1]))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            yield problem(f"{path} is not what scripts/distill.py writes ({error!r}).", "distil again")
    elif data.folder.name.endswith("_kd"):
        yield note(
            "the folder's name ends in _kd, but there is no distill.json: whether the targets are a teacher's cannot "
            "be told.",
            "make it with scripts/distill.py",
        )
    else:
        yield good("raw: no distill.json, so that the training targets are taken for people's")
    yield from _as_in_the_text(data)


def _as_in_the_original(data: DataFolder, original: Path) -> Iterator[Finding]:
    """Byte for byte: validation, test and dictionaries of the data that were distilled."""
    if not original.is_dir():
        yield note(f"{original}, which was distilled, is not here: nothing to compare validation and test with.")
        return
    names = [data.dictionary(language).name for language in data.languages]
    for split in SPLITS[1:]:
        for language in data.languages:
            stem = data.prefix(split, language).name
            names += [f"{stem}.bin", f"{stem}.idx"]
    there = [name for name in names if (original / name).is_file()]
    changed = [name for name in there if not _same_bytes(original / name, data.folder / name)]
    if changed:
        yield problem(
            f"{', '.join(changed)} differ from {displayed_path(original)}, which was distilled: its scores cannot be "
            "compared with those of models trained there.",
            _TEST_STAYS,
        )
    else:
        yield good(f"validation, test and dictionaries are the bytes of {displayed_path(original)}")
    yield from _as_long_as_the_original(data, original)


def _as_long_as_the_original(data: DataFolder, original: Path) -> Iterator[Finding]:
    """Students say as little as their teacher's translations do."""
    text = Path("tok") / f"train.{data.languages[1]}"
    if not all((folder / text).is_file() for folder in (data.folder, original)):
        return
    words, before = (sum(len(line.split()) for line in read_text(folder / text)) for folder in (data.folder, original))
    told = f"the training targets have {words / before:.3f} times the words of the original ones"
    if abs(words / before - 1) <= _OTHER_LENGTH:
        yield good(told)
    else:
        yield note(
            f"{told}: the students' translations will have as many, and pay for it in BLEU.",
            "another length penalty of the teacher (scripts/distill.py --lenpen), or a better teacher",
        )


def _same_bytes(first: Path, second: Path) -> bool:
    return second.is_file() and first.read_bytes() == second.read_bytes()


def _as_in_the_text(data: DataFolder) -> Iterator[Finding]:
    """Whether what is binarised for validation and test is the text that scores are computed against."""
    target = data.languages[1]
    for split in SPLITS[1:]:
        text = data.folder / "bpe" / f"{split}.{target}"
        try:
            side = data.side(split, target)
        except UserError:
            continue  # said already
        if not text.is_file():
            yield note(f"without {displayed_path(text)} it cannot be told whether the {split} targets are real.")
            continue
        lines = read_text(text)
        differing = _first_difference(side, np.array(data.symbols(target), dtype=object), lines)
        if differing is None:
            differing = _first_other(data, lines, split)
        if differing is None:
            yield good(f"{split}: the binarised targets are the text that translations are scored against")
        else:
            yield problem(
                f"{split}: target {differing + 1} is not line {differing + 1} of the text that translations are scored "
                f"against ({displayed_path(data.folder)}/bpe and tok).",
                f"{_TEST_STAYS}, or {BINARISE_AGAIN}",
            )


def _first_difference(side: Side, symbols: np.ndarray, lines: list[str]) -> int | None:
    """The first sentence that is not its line of subwords; what the dictionary lacks may be anything."""
    if len(side.sizes) != len(lines):
        return min(len(side.sizes), len(lines))
    for number, (sentence, line) in enumerate(zip(side.sentences(), lines, strict=True)):
        ids, words = sentence[:-1].astype(np.int64), line.split()
        if len(ids) != len(words) or ids.max(initial=0) >= len(symbols):
            return number
        if any(symbols[index] != word for index, word in zip(ids, words, strict=True) if index != UNKNOWN):
            return number
    return None


def _first_other(data: DataFolder, lines: list[str], split: str) -> int | None:
    """The first line whose subwords are not those of the tokenised reference."""
    if data.prepared is None:
        return None
    prepared = PreparedData.load(data.folder)
    [words, *_] = prepared.tokenized_references(split)
    joined = prepared.words(lines)
    if len(words) != len(joined):
        return min(len(words), len(joined))
    return next((number for number, pair in enumerate(zip(words, joined, strict=True)) if pair[0] != pair[1]), None)
