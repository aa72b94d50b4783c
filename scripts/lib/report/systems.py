"""What a report is about: translations of one test set, and the runs that they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nat_plugin.errors import UserError
from scripts.lib.prepared_data import PreparedData, read_text
from scripts.lib.results import Row, read_rows
from scripts.lib.runs import Run
from scripts.lib.trained_model import found_data


@dataclass(frozen=True)
class System:
    """One way of translating the test set."""

    row: Row
    """Of scripts/evaluate.py."""
    lines: list[str]
    """Detokenised, one a sentence."""
    run: Run

    @property
    def name(self) -> str:
        return str(self.row["system"])


@dataclass(frozen=True)
class TestSet:
    """What all systems have translated."""

    __test__ = False  # no test of pytest's

    sources: list[str]
    references: list[list[str]]
    """A list a reference file."""


def read_systems(paths: Sequence[Path], split: str) -> list[System]:
    """The systems of run folders (every row of ``split`` that they hold) and of single rows, in the order given.

    Raises:
        UserError: a path is neither, holds no row of the split, or two systems have one name.
    """
    systems: list[System] = []
    for path in paths:
        files = [path] if path.is_file() else sorted((path / "results").glob(f"{split}*.json"))
        found = [system for file in files if (system := _read(file, split)) is not None]
        if not found:
            raise UserError(
                f"{path} holds no translation of '{split}': run scripts/evaluate.py {path} --split {split} first, or "
                "name a .json that it wrote."
            )
        systems += found
    names = [system.name for system in systems]
    doubled = [name for name in names if names.count(name) > 1]
    if doubled:
        raise UserError(f"two systems are called '{doubled[0]}': name single rows, or evaluate with another --name.")
    return systems


def _read(file: Path, split: str) -> System | None:
    """The system whose row is in ``file``; None where that is another script's, or of another split."""
    text = file.with_suffix(".hyp.txt")
    rows = read_rows(file) if text.is_file() else []
    if len(rows) != 1 or rows[0].get("split") != split or "bleu" not in rows[0]:
        return None
    lines = read_text(text)
    if len(lines) != rows[0]["sentences"]:
        raise UserError(
            f"{text} has {len(lines)} lines, and its row {rows[0]['sentences']} sentences: evaluate the run again."
        )
    return System(rows[0], lines, Run(file.parent.parent))


def read_test_set(systems: Sequence[System], split: str) -> TestSet:
    """The text of the systems' data.

    Raises:
        UserError: they are not of one test set.
    """
    sets = {}
    for system in systems:
        folder = found_data(Path(system.row["data"]), system.run.folder)
        if folder not in sets:
            data = PreparedData.load(folder)
            sets[folder] = TestSet(data.sources(split), data.references(split))
    (first, found), *others = sets.items()
    for folder, other in others:
        if other != found:
            raise UserError(f"'{split}' of {folder} is another text than that of {first}: name rows of one test set.")
    return found
