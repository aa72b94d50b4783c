"""What all tests of scripts/prepare.py start from."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.lib.cli import run_main
from scripts.lib.preparation.job import Job
from scripts.prepare import main
from tests.scripts.prepare import miniatures
from tests.scripts.prepare.toy import (
    REFERENCE_FILES,
    arguments,
    sentences,
    write,
    write_corpus,
)


@pytest.fixture
def corpus(tmp_path: Path) -> dict[str, list[Path]]:
    return write_corpus(tmp_path / "in")


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[[list[str]], str]:
    """Run the script on bad input; returns its one sentence."""

    def run(given: list[str]) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            run_main(lambda: main(given))
        error = capsys.readouterr().err.splitlines()
        assert stopped.value.code == 2
        assert error[-1].startswith("error: ")
        assert error[-1].endswith(".")
        return error[-1]

    return run


@pytest.fixture(scope="session")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Text with one of everything that is cleaned away, CRLF and gzip included."""
    folder = tmp_path_factory.mktemp("dirty")
    files = write_corpus(folder, train=5000)
    train = {language: sentences(language, 5000, 7) for language in ("en", "de")}
    train["en"][1] = ""
    train["de"][4] = " \t "
    train["en"][9] = "word " * 200
    train["en"][12] = "He said <mask> and <unk>."
    train["de"][15] = "Zeile\u2028mit\x85Trennern\rdarin."
    for language, path in zip(("en", "de"), files["train"], strict=True):
        text = "".join(line + "\n" for line in train[language])
        path.with_suffix(f".{language}.gz").write_bytes(gzip.compress(text.encode()))
    files["train"] = [path.with_suffix(f"{path.suffix}.gz") for path in files["train"]]
    write(files["valid"][0], sentences("en", 12, 1), newline="\r\n")
    for number, name in enumerate(REFERENCE_FILES):
        write(
            folder / name,
            ["" if index == number else line for index, line in enumerate(sentences("de", 9, 50 + number))],
        )
    return files


@pytest.fixture(scope="session")
def dirty_arguments(dirty: dict[str, list[Path]]) -> Callable[[Path], list[str]]:
    references = [str(dirty["test"][0].parent / name) for name in REFERENCE_FILES]
    return lambda output: [*arguments(dirty, output, "--test-references", *references), "--workers", "2"]


@pytest.fixture(scope="session")
def prepared(dirty_arguments: Callable[[Path], list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("out") / "toy"
    main(dirty_arguments(output))
    return output


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, dict[str, list[str]]]]]:
    """Collection → its folder, and what is in it by split and language."""
    found = {}
    for name, make in miniatures.MAKERS.items():
        folder = tmp_path_factory.mktemp(name)
        found[name] = folder, make(folder)
    return found


@pytest.fixture
def without_fairseq(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but the last stage, which starts fairseq and is the same for all text."""

    def binarise(job: Job, folder: Path) -> dict[str, Any]:
        ones = dict.fromkeys(job.languages, 1)
        return {"splits": {split: {"types": ones, "unknown": ones} for split in job.files}, "dictionaries": ones}

    monkeypatch.setattr("scripts.lib.preparation.plan._binarise", binarise)
