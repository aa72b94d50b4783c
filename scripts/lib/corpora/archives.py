"""Taking files out of archives: tar (gzipped or not), zip, and single files as they are."""

from __future__ import annotations

import fnmatch
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from nat_plugin.errors import UserError

_TAR = (".tgz", ".tar.gz", ".tar")
_SHOWN_MEMBERS = 5


def is_archive(path: Path) -> bool:
    """Whether the name is one of an archive that holds files."""
    return path.name.endswith((*_TAR, ".zip"))


def extract(archive: Path, patterns: Iterable[str], folder: Path) -> dict[str, list[Path]]:
    """Copy the members of ``archive`` that match into ``folder``, which has to be empty, in one pass.

    The copies get names of their own: what a member is called decides nothing about where it is written.

    Args:
        patterns: of the members' whole names, as a shell's (``*`` matches ``/``, too).

    Returns:
        Pattern → copies, in the order of the members' names.

    Raises:
        UserError: there is no such archive, it is cut off or damaged, or a pattern matches nothing.
    """
    wanted = list(dict.fromkeys(patterns))
    folder.mkdir(parents=True, exist_ok=True)
    copies: dict[str, Path] = {}
    seen: list[str] = []
    try:
        for name, content in _members(archive, wanted, seen):
            copies[name] = folder / f"{len(copies)}"
            with open(copies[name], "wb") as copy:
                shutil.copyfileobj(content, copy)
    except FileNotFoundError as error:
        raise UserError(f"there is no file {archive}: check the path.") from error
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{archive} is cut off or damaged ({reason}): fetch or copy it again.") from error
    found = {
        pattern: [copies[name] for name in sorted(copies) if fnmatch.fnmatchcase(name, pattern)] for pattern in wanted
    }
    for pattern, paths in found.items():
        if not paths:
            held = ", ".join(seen[:_SHOWN_MEMBERS]) + (", …" if len(seen) > _SHOWN_MEMBERS else "")
            raise UserError(
                f"{archive} has no file {pattern} (it holds {held or 'nothing'}): give the archive that is published "
                "under this name."
            )
    return found


def _members(archive: Path, patterns: Sequence[str], seen: list[str]) -> Iterator[tuple[str, IO[bytes]]]:
    """The members that match, with their names; the names of all that were passed are added to ``seen``."""

    def matches(name: str) -> bool:
        seen.append(name)
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)

    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(archive) as zipped:
            for entry in zipped.infolist():
                name = entry.filename.removeprefix("./")
                if not entry.is_dir() and matches(name):
                    with zipped.open(entry) as content:
                        yield name, content
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if member.isfile() and matches(name):
                file = tar.extractfile(member)
                if file is not None:
                    yield name, file


def located(archive: Path, patterns: Mapping[str, str], folder: Path) -> dict[str, list[Path]]:
    """:func:`extract` by language: language → the files that its pattern matches."""
    found = extract(archive, patterns.values(), folder)
    return {language: found[pattern] for language, pattern in patterns.items()}
