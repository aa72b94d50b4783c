"""One corpus and one trained model for all tests of this folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end import commands, corpus, settings
from tests.end_to_end.commands import ROOT, Result

UPDATES = 220


@dataclass(frozen=True)
class Corpus:
    """Where the corpus lies.

    Attributes:
        text: the files that were binarised.
        data: binarised with our task.
        plain: binarised by fairseq alone, without our symbols.
    """

    text: Path
    data: Path
    plain: Path


@dataclass(frozen=True)
class Model:
    """A trained model.

    Attributes:
        checkpoint: the best one by BLEU, which is the last.
        training: what fairseq-train printed.
    """

    checkpoint: Path
    training: Result


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("end_to_end")


@pytest.fixture(scope="session")
def made(folder: Path) -> Corpus:
    """The corpus."""
    arguments = [*corpus.write_corpus(folder / "text"), "--joined-dictionary"]
    commands.run("fairseq-preprocess", *arguments, "--task", "nat_translation", "--destdir", folder / "data").checked()
    commands.run("fairseq-preprocess", *arguments, "--destdir", folder / "plain").checked()
    return Corpus(folder / "text", folder / "data", folder / "plain")


@pytest.fixture(scope="session")
def model(made: Corpus, folder: Path) -> Model:
    """A model trained with AXE until it translates most sentences rightly."""
    validation = ["--validate-interval", 1000, "--eval-bleu", "--eval-bleu-remove-bpe"]
    best = ["--best-checkpoint-metric", "bleu", "--maximize-best-checkpoint-metric"]
    result = commands.run(
        "fairseq-train",
        *settings.training(made.data, folder / "model", "--criterion", "nat_axe", *validation, *best),
        *("--max-update", UPDATES),
    ).checked()
    return Model(folder / "model" / "checkpoint_best.pt", result)


@pytest.fixture(scope="session")
def transformer(made: Corpus, folder: Path) -> Path:
    """The checkpoint of an autoregressive transformer, hardly trained."""
    commands.run(
        "fairseq-train",
        *(made.data, "--task", "translation", "--arch", "transformer", "--share-all-embeddings", *settings.TINY),
        *(*settings.POSITIONS, *settings.ON_CPU, *settings.OPTIMIZER, "--criterion", "cross_entropy"),
        *("--disable-validation", "--no-epoch-checkpoints", "--max-update", 1, "--save-dir", folder / "transformer"),
    ).checked()
    return folder / "transformer" / "checkpoint_last.pt"


@pytest.fixture(scope="session")
def checkout(folder: Path) -> Path:
    """A copy of the plugin in another place, as a user has it who installed nothing; returns its --user-dir."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("nat_plugin", "criterions", "models"):
        shutil.copytree(ROOT / name, folder / "checkout" / name, symlinks=True, ignore=ignored)
    return folder / "checkout" / "nat_plugin"
