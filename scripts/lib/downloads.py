"""Fetching files: resumed after an interruption, checked before they get their name."""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write, write_json

LOCK = "downloads.json"
"""In the folder of the files: those without a published checksum as they were fetched the first time, name →
``{url, size, sha256}``."""
_BLOCK = 1 << 16
_TIMEOUT = 60  # seconds without a byte


@dataclass(frozen=True)
class Download:
    """A file on the web, in one or more parts that are joined one after another."""

    urls: tuple[str, ...]
    checksum: str | None = None
    """``<algorithm>:<hex digest>`` of the joined file; the algorithm is one of hashlib's. None: nobody publishes one,
    and the digest of the first download, which :data:`LOCK` keeps, holds from then on."""
    size: int | None = None
    """Bytes of the joined file, where somebody publishes them."""
    mirrors: tuple[str, ...] = ()
    """Other addresses of the same file, tried one after another; for files in one part."""

    @property
    def addresses(self) -> tuple[tuple[str, ...], ...]:
        """Every way to fetch it, each with all its parts."""
        return (self.urls, *((mirror,) for mirror in self.mirrors))


def fetch(download: Download, path: Path) -> None:
    """Put ``download`` at ``path``, unless it is there already.

    Raises:
        UserError: the server cannot be reached or has no such file, or what it sent is not what was expected.
    """
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    parts, urls = _fetch_from_one(download, path)
    with atomic_write(path, "wb") as whole:
        digests = {name: hashlib.new(name) for name in ("sha256", _algorithm(download))}
        for part in parts:
            with open(part, "rb") as handle:
                while block := handle.read(_BLOCK):
                    for digest in digests.values():
                        digest.update(block)
                    whole.write(block)
        found = {name: digest.hexdigest() for name, digest in digests.items()}
        size = sum(part.stat().st_size for part in parts)
        if problem := _difference(download, path, size, found):
            for part in parts:
                part.unlink()
            raise UserError(
                f"{urls[0]} is not the file that this recipe was made for ({problem}): try again, or fetch the files "
                "yourself and name their folder with --raw."
            )
        if download.checksum is None:  # before the file has its name: it is never there without its digest
            _remember(path, {"url": " ".join(urls), "size": size, "sha256": found["sha256"]})
    for part in parts:
        part.unlink()


def difference(download: Download, path: Path) -> str | None:
    """How the file at ``path`` differs from what is published, or from what was fetched there the first time.

    Returns:
        None where it does not, or where nothing is known of it.

    Raises:
        UserError: there is no such file.
    """
    algorithm = _algorithm(download)
    digest = hashlib.new(algorithm)
    try:
        with open(path, "rb") as handle:
            while block := handle.read(_BLOCK):
                digest.update(block)
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}: check the path.") from error
    return _difference(download, path, path.stat().st_size, {algorithm: digest.hexdigest()})


def _algorithm(download: Download) -> str:
    return download.checksum.partition(":")[0] if download.checksum else "sha256"


def _difference(download: Download, path: Path, size: int, digests: dict[str, str]) -> str | None:
    if download.size is not None and size != download.size:
        return f"{download.size} bytes expected, {size} found"
    if download.checksum:
        algorithm, _, expected = download.checksum.partition(":")
        same = digests[algorithm] == expected
        return None if same else f"{download.checksum} expected, {digests[algorithm]} found"
    first = _fetched(path.parent).get(path.name)
    if first is None or first["sha256"] == digests["sha256"]:
        return None
    return (
        f"sha256:{first['sha256']} when it was fetched the first time, {digests['sha256']} now; if its publisher has "
        f"changed it, delete its entry in {path.parent / LOCK}"
    )


def _fetched(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / LOCK
    try:
        found: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): mend it, or delete it to trust the files anew.") from error
    return found


def _remember(path: Path, entry: dict[str, Any]) -> None:
    write_json(path.parent / LOCK, {**_fetched(path.parent), path.name: entry})


def _fetch_from_one(download: Download, path: Path) -> tuple[list[Path], tuple[str, ...]]:
    """The parts on the disk, and the addresses that they came from."""
    for attempt, urls in enumerate(download.addresses, start=1):
        parts = [path.with_name(f"{path.name}.part{number}") for number in range(len(urls))]
        try:
            for url, part in zip(urls, parts, strict=True):
                _fetch_part(url, part)
        except UserError as error:
            if attempt == len(download.addresses):
                raise
            print(f"{error} Trying {download.addresses[attempt][0]}.", flush=True)
        else:
            return parts, urls
    raise AssertionError("there is an address at least")


def _fetch_part(url: str, part: Path) -> None:
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
            resumed = have > 0 and response.status == 206
            total = int(response.headers.get("Content-Length", 0)) + (have if resumed else 0)
            with open(part, "ab" if resumed else "wb") as handle:
                _copy(response, handle, part.name, have if resumed else 0, total or None)
        if part.stat().st_size < total:
            raise ConnectionError("the connection was closed early")
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left after the bytes that we have
            return
        raise UserError(
            f"{url} cannot be fetched ({error}): fetch the files yourself and name their folder with --raw."
        ) from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(
            f"{url} cannot be fetched ({reason}): run the same command again to resume, or fetch the files yourself "
            "and name their folder with --raw."
        ) from error


def _copy(source: IO[bytes], target: IO[bytes], name: str, have: int, total: int | None) -> None:
    with tqdm(desc=f"fetch {name}", initial=have, total=total, unit="B", unit_scale=True, disable=None) as progress:
        while block := source.read(_BLOCK):
            target.write(block)
            progress.update(len(block))
