"""A corpus of a few hundred sentences: the target says the same in other words; some words are two subwords."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

SOURCE, TARGET = "xx", "yy"
WORDS = 12
TRAIN, VALID = 256, 30
TEST_COUNTS = (101, 1, 7, 8, 96)
"""Sentences of the splits test, test1, test2, …"""


def source_word(number: int) -> str:
    return f"s@@ {number}" if number % 3 == 0 else f"s{number}"


def target_word(number: int) -> str:
    return f"t@@ {number}" if number % 3 == 0 else f"t{number}"


def sentences(count: int, seed: int) -> list[list[int]]:
    """``count`` sentences of 1 to 9 words, as numbers; no word stands beside itself."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        sentence = [draw.randrange(WORDS)]
        for _ in range(draw.randrange(9)):
            sentence.append((sentence[-1] + 1 + draw.randrange(WORDS - 1)) % WORDS)
        made.append(sentence)
    return made


def source_line(sentence: Iterable[int]) -> str:
    return " ".join(map(source_word, sentence))


def target_line(sentence: Iterable[int]) -> str:
    return " ".join(map(target_word, sentence))


def write_pair(prefix: Path, source: Iterable[str], target: Iterable[str]) -> str:
    """Write ``prefix.xx`` and ``prefix.yy``; returns the prefix as fairseq-preprocess wants it."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    for language, lines in ((SOURCE, source), (TARGET, target)):
        Path(f"{prefix}.{language}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(prefix)


def write_split(folder: Path, name: str, count: int, seed: int) -> str:
    """Write ``count`` sentence pairs as ``folder/name``; returns the prefix."""
    numbers = sentences(count, seed)
    return write_pair(folder / name, map(source_line, numbers), map(target_line, numbers))


def write_corpus(folder: Path) -> list[str]:
    """Write all splits and return fairseq-preprocess's arguments for them."""
    tests = [write_split(folder, f"test{number or ''}", count, 10 + number) for number, count in enumerate(TEST_COUNTS)]
    return [
        *("--source-lang", SOURCE, "--target-lang", TARGET, "--workers", "1"),
        *("--trainpref", write_split(folder, "train", TRAIN, 1)),
        *("--validpref", write_split(folder, "valid", VALID, 2)),
        *("--testpref", ",".join(tests)),
    ]
