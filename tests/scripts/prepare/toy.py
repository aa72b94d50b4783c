"""A small corpus of English and German words, and scripts/prepare.py on it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from scripts.lib import recipes
from scripts.lib.corpora.model import Recipe
from scripts.lib.preparation.plan import plan, store
from scripts.lib.preparation.request import resolve
from scripts.lib.recipes import ROOT
from scripts.prepare import parser

SCRIPT = ROOT / "scripts" / "prepare.py"
WORDS = {
    "en": ["a", "the", "man", "woman", "dog", "house", "green", "small", "old", "runs", "sees", "near", "don't"],
    "de": ["ein", "der", "Mann", "Frau", "Hund", "Häuschen", "Straße", "grün", "alt", "läuft", "sieht", "neben"],
}
REFERENCE_FILES = ["test.de.1", "test.de.2"]


def sentences(language: str, number: int, seed: int) -> list[str]:
    generator = random.Random(f"{language} {seed}")
    lines = []
    for _ in range(number):
        words = generator.choices(WORDS[language], k=generator.randint(3, 12))
        lines.append(" ".join(words).capitalize() + generator.choice([".", "!", ", (or so).", ' "here".']))
    return lines


def write(path: Path, lines: list[str], *, newline: str = "\n") -> Path:
    path.write_bytes("".join(line + newline for line in lines).encode())
    return path


def write_corpus(folder: Path, train: int = 40) -> dict[str, list[Path]]:
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"train": train, "valid": 12, "test": 9}
    return {
        split: [write(folder / f"{split}.{language}", sentences(language, size, seed)) for language in ("en", "de")]
        for seed, (split, size) in enumerate(sizes.items())
    }


def arguments(files: dict[str, list[Path]], output: Path, *more: str) -> list[str]:
    given = ["--name", "toy", "--source-lang", "en", "--target-lang", "de", "--output", str(output), "--workers", "1"]
    given += ["--bpe-merges", "60"] if "--subword" not in more else []
    for split, sides in files.items():
        given += [f"--{split}", *map(str, sides)]
    return [*given, *more]


def until_binarising(given: list[str]) -> Path:
    """Run every stage but the last, which starts fairseq, and return the data folder."""
    job, _ = resolve(parser().parse_args(given))
    for stage in plan(job)[:-1]:
        if not store(job).is_done(stage):
            store(job).run(stage)
    return job.output


def lines(path: Path) -> list[str]:
    return path.read_bytes().decode().removesuffix("\n").split("\n")


def small(name: str, folder: Path, output: Path, *more: str) -> list[str]:
    """The recipe on small archives, with as few subwords as their text allows."""
    pieces = name.startswith("wmt20")
    sizes = ["--vocab-size", "120"] if pieces else ["--bpe-merges", "30"]
    return [name, "--raw", str(folder), "--output", str(output), "--workers", "1", *sizes, *more]


def use(monkeypatch: pytest.MonkeyPatch, name: str, recipe: Recipe) -> None:
    """Have ``recipe`` under that name."""
    monkeypatch.setattr("scripts.lib.recipes.RECIPES", {**recipes.RECIPES, name: recipe})
