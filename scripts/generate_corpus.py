#!/usr/bin/env python3
"""Generate a parallel corpus of two invented languages in which a source sentence has many valid translations.

It is what `make demo` trains on, and every valid translation of the test sentences is written too, so that a system is
not punished for choosing another one than the corpus did. See docs/generated_corpus.md.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from tabulate import tabulate
from tqdm import tqdm

from nat_plugin.errors import UserError
from nat_plugin.files import write_json, write_lines
from scripts.lib.cli import run_main, script_parser, shell
from scripts.lib.languages import SOURCE_LANG, TARGET_LANG, Lexicon, lexicon
from scripts.lib.meanings import Sentence, draw_sentence, source_text
from scripts.lib.renderings import MAX_TRANSLATIONS, all_translations, draw_translation

MAX_REDRAWS_IN_A_ROW = 1000


@dataclass(frozen=True)
class Pair:
    """A sentence with its source text and the one translation that was drawn for it."""

    sentence: Sentence
    source: str
    target: str


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = script_parser(__doc__)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write to; made if there is none")
    parser.add_argument("--train", type=int, default=12000, metavar="N", help="training sentences (default: 12000)")
    parser.add_argument("--valid", type=int, default=500, metavar="N", help="validation sentences (default: 500)")
    parser.add_argument("--test", type=int, default=500, metavar="N", help="test sentences (default: 500)")
    parser.add_argument("--seed", type=int, default=1, help="decides the sentences, not the languages (default: 1)")
    return parser.parse_args(arguments)


def draw_corpus(counts: dict[str, int], seed: int) -> tuple[dict[str, list[Pair]], int]:
    """Draw the sentences of every split, no source sentence twice.

    Args:
        counts: sentences a split, by the split's name.
        seed: decides all draws.

    Returns:
        the pairs of every split, and how often a sentence that had been drawn before was drawn again and thrown away.

    Raises:
        UserError: more sentences are asked for than new ones can be found.
    """
    words, rng = lexicon(), random.Random(seed)
    seen: set[str] = set()
    splits: dict[str, list[Pair]] = {}
    redrawn = 0
    with tqdm(total=sum(counts.values()), desc="drawing sentences", unit=" sentences", leave=False) as progress:
        for split, count in counts.items():
            splits[split] = []
            while len(splits[split]) < count:
                pair, tries = _new_pair(words, rng, seen)
                redrawn += tries
                splits[split].append(pair)
                progress.update()
    return splits, redrawn


def _new_pair(words: Lexicon, rng: random.Random, seen: set[str]) -> tuple[Pair, int]:
    for tries in range(MAX_REDRAWS_IN_A_ROW):
        sentence = draw_sentence(words, rng)
        source = source_text(sentence)
        if source not in seen:
            seen.add(source)
            return Pair(sentence, source, draw_translation(sentence, rng)), tries
    raise UserError(
        f"after {len(seen)} sentences {MAX_REDRAWS_IN_A_ROW} draws in a row gave none that is new: "
        "ask for fewer with --train, --valid or --test."
    )


def reference_files(drawn: Sequence[str], valid: Sequence[dict[str, float]]) -> list[list[str]]:
    """The references as files of equal length.

    Args:
        drawn: the translation drawn for each sentence; it comes first, so that the first file alone is a fair sample.
        valid: all translations of each sentence.

    Returns:
        one list of lines a file, as many files as the richest sentence has translations; a sentence with fewer begins
        again with its first.
    """
    ordered = [[first, *(text for text in texts if text != first)] for first, texts in zip(drawn, valid, strict=True)]
    width = max(map(len, ordered))
    return [[texts[number % len(texts)] for texts in ordered] for number in range(width)]


def write_corpus(out: Path, splits: dict[str, list[Pair]]) -> list[dict[str, float]]:
    """Write both sides of every split and the references of the test split; returns all translations of the latter.

    Raises:
        UserError: ``out`` is a file.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: give a folder to write the corpus to.")
    for split, pairs in splits.items():
        write_lines(out / f"{split}.{SOURCE_LANG}", (pair.source for pair in pairs))
        write_lines(out / f"{split}.{TARGET_LANG}", (pair.target for pair in pairs))
    test = splits["test"]
    progress = tqdm(test, desc="enumerating translations", unit=" sentences", leave=False)
    valid = [all_translations(pair.sentence) for pair in progress]
    references = reference_files([pair.target for pair in test], valid)
    for number, lines in enumerate(references[1:], start=1):
        write_lines(out / f"test.{TARGET_LANG}.{number}", lines)
    _remove_stale_references(out, len(references))
    write_lines(out / "test.all.jsonl", map(_all_translations_line, test, valid))
    return valid


def _all_translations_line(pair: Pair, translations: dict[str, float]) -> str:
    listed = [{"text": text, "probability": probability} for text, probability in translations.items()]
    return json.dumps({"source": pair.source, "translations": listed}, ensure_ascii=False)


def _remove_stale_references(out: Path, keep: int) -> None:
    """An earlier corpus in this folder may have had more reference files; they would be taken for this one's."""
    for path in out.glob(f"test.{TARGET_LANG}.*"):
        number = re.fullmatch(r"[0-9]+", path.name.rpartition(".")[2])
        if number and int(number[0]) >= keep:
            path.unlink()


def tokens(text: str) -> list[str]:
    """The words and punctuation marks of a generated sentence."""
    return re.findall(r"\w+|[^\w\s]", text)


def statistics(splits: dict[str, list[Pair]], valid: Sequence[dict[str, float]], redrawn: int) -> dict[str, Any]:
    """What the corpus is like: sizes, lengths and types a side, ambiguity, and the number of valid translations."""
    sides = {
        SOURCE_LANG: [tokens(pair.source) for pairs in splits.values() for pair in pairs],
        TARGET_LANG: [tokens(pair.target) for pairs in splits.values() for pair in pairs],
    }
    return {
        "sentences": {split: len(pairs) for split, pairs in splits.items()},
        "source_sentences_of_valid_or_test_in_train": _overlap(splits),
        "drawn_again_because_seen": redrawn,
        "languages": {lang: _side_statistics(side) for lang, side in sides.items()},
        "ambiguous_source_tokens": _ambiguous_share(sides[SOURCE_LANG]),
        "valid_translations_of_a_test_sentence": {
            "mean": sum(map(len, valid)) / len(valid),
            "most": max(map(len, valid)),
            "only_one": sum(len(texts) == 1 for texts in valid),
        },
    }


def _overlap(splits: dict[str, list[Pair]]) -> int:
    train = {pair.source for pair in splits["train"]}
    return sum(pair.source in train for split in ("valid", "test") for pair in splits[split])


def _side_statistics(sentences: Sequence[Sequence[str]]) -> dict[str, float]:
    lengths = [len(sentence) for sentence in sentences]
    return {
        "tokens": sum(lengths),
        "mean_length": sum(lengths) / len(lengths),
        "shortest": min(lengths),
        "longest": max(lengths),
        "types": len({word.lower() for sentence in sentences for word in sentence}),
    }


def _ambiguous_share(sentences: Sequence[Sequence[str]]) -> float:
    """The share of source tokens that have several senses by themselves (nouns and verbs in any form)."""
    forms = lexicon().ambiguous_source_forms()
    found = sum(word in forms for sentence in sentences for word in sentence)
    return found / sum(map(len, sentences))


def report(figures: dict[str, Any]) -> str:
    """The statistics as text."""
    columns = ["language", "tokens", "mean length", "shortest", "longest", "types (lower case)"]
    rows = [[lang, *side.values()] for lang, side in figures["languages"].items()]
    translations = figures["valid_translations_of_a_test_sentence"]
    return "\n".join(
        [
            tabulate(rows, columns, floatfmt=".1f"),
            "sentences: "
            + ", ".join(f"{split} {count}" for split, count in figures["sentences"].items())
            + f"; {figures['drawn_again_because_seen']} repeated draws thrown away",
            f"source sentences of valid and test that occur in train: "
            f"{figures['source_sentences_of_valid_or_test_in_train']}",
            f"source tokens with several senses: {figures['ambiguous_source_tokens']:.1%}",
            f"valid translations of a test sentence: {translations['mean']:.1f} on average, "
            f"at most {translations['most']} (the languages allow {MAX_TRANSLATIONS}), only one: "
            f"{translations['only_one']} sentences",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate, write and describe a corpus."""
    options = parse_arguments(arguments)
    counts = {split: getattr(options, split) for split in ("train", "valid", "test")}
    for split, count in counts.items():
        if count < 1:
            raise UserError(f"--{split} is {count}: every split needs at least one sentence.")
    splits, redrawn = draw_corpus(counts, options.seed)
    valid = write_corpus(options.out, splits)
    figures = statistics(splits, valid, redrawn)
    sizes = [part for split, count in counts.items() for part in (f"--{split}", count)]
    command = shell(["scripts/generate_corpus.py", options.out, *sizes, "--seed", options.seed])
    write_json(options.out / "corpus.json", {"command": command, "statistics": figures})
    print(report(figures))
    print(f"written to {options.out}; its figures are in {options.out / 'corpus.json'}")


if __name__ == "__main__":
    run_main(main)
