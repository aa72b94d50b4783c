"""Work in stages: each is redone only when its inputs or options have changed, and is there wholly or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nat_plugin.errors import UserError
from nat_plugin.files import flush_to_disk, write_json
from nat_plugin.locks import take_lock

_TEMPORARY = "unfinished-"


def fingerprint(parts: Mapping[str, Any]) -> str:
    """A digest of everything that a result depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Stage:
    """One step, and what its result depends on."""

    name: str
    describe: str
    """What it does, for the user."""
    key: str
    """:func:`fingerprint` of inputs and options, with the keys of the stages before it."""
    folder: Path
    """Where the files go that ``work`` makes."""
    work: Callable[[Path], dict[str, Any]]
    """Writes files into the (empty) folder that it is given, and returns what is to be remembered about them."""


class StageStore:
    """Runs stages and remembers them in ``folder``, one JSON a stage: key, files with their sizes, result."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def is_done(self, stage: Stage) -> bool:
        """Whether the files are there, made from the same inputs with the same options."""
        record = self._record(stage)
        return record.get("key") == stage.key and all(
            _size(stage.folder / name) == size for name, size in record["files"].items()
        )

    def result(self, stage: Stage) -> dict[str, Any]:
        """What the work of a finished stage returned."""
        result: dict[str, Any] = self._record(stage)["result"]
        return result

    def run(self, stage: Stage) -> None:
        """Do the stage's work, and put its files in the place of the old ones once they are whole."""
        self._forget(stage)
        unfinished = self.folder / f"{_TEMPORARY}{stage.name}-{os.getpid()}"
        unfinished.mkdir(parents=True)
        try:
            result = stage.work(unfinished)
            files = sorted(path.relative_to(unfinished) for path in unfinished.rglob("*") if path.is_file())
            for file in files:
                (stage.folder / file).parent.mkdir(parents=True, exist_ok=True)
                flush_to_disk(unfinished / file)
                os.replace(unfinished / file, stage.folder / file)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        sizes = {file.as_posix(): _size(stage.folder / file) for file in files}
        write_json(self._path(stage), {"key": stage.key, "files": sizes, "result": result})

    def clear_unfinished(self) -> None:
        """Remove what processes left behind that were killed."""
        for leftover in self.folder.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _forget(self, stage: Stage) -> None:
        """Other options may give other files: the old ones must not stay beside the new."""
        for name in self._record(stage).get("files", {}):
            (stage.folder / name).unlink(missing_ok=True)
        self._path(stage).unlink(missing_ok=True)

    def _record(self, stage: Stage) -> dict[str, Any]:
        try:
            record: dict[str, Any] = json.loads(self._path(stage).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # ValueError: written by something else
            return {}
        return record

    def _path(self, stage: Stage) -> Path:
        return self.folder / f"{stage.name}.json"


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


@contextmanager
def exclusive(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock file, which the system releases however this process ends.

    Args:
        wait: until another process releases it.

    Raises:
        UserError: another process holds it, and this one is not to wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as handle:
        if not take_lock(handle, wait=wait):
            handle.seek(0)
            raise UserError(
                f"another process ({handle.read().strip() or 'just started'}) is writing {path.parent.parent}: wait "
                "until it has finished, or give another --output."
            )
        handle.truncate(0)
        handle.write(f"process {os.getpid()}\n")
        handle.flush()
        yield
