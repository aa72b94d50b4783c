"""Fetching files: resumed after an interruption, checked before they get their name."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tqdm import tqdm

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write

_BLOCK = 1 << 16
_TIMEOUT = 60  # seconds without a byte


@dataclass(frozen=True)
class Download:
    """A file on the web, in one or more parts that are joined one after another."""

    urls: tuple[str, ...]
    checksum: str
    """``<algorithm>:<hex digest>`` of the joined file; the algorithm is one of hashlib's."""


def fetch(download: Download, path: Path) -> None:
    """Put ``download`` at ``path``, unless it is there already.

    Raises:
        UserError: the server cannot be reached or has no such file, or what it sent is not what was expected.
    """
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [path.with_name(f"{path.name}.part{number}") for number in range(len(download.urls))]
    for url, part in zip(download.urls, parts, strict=True):
        _fetch_part(url, part)
    with atomic_write(path, "wb") as whole:
        digest = hashlib.new(download.checksum.partition(":")[0])
        for part in parts:
            with open(part, "rb") as handle:
                while block := handle.read(_BLOCK):
                    digest.update(block)
                    whole.write(block)
        if digest.hexdigest() != download.checksum.partition(":")[2]:
            for part in parts:
                part.unlink()
            raise UserError(
                f"{download.urls[0]} is not the file that this recipe was made for ({download.checksum} expected, "
                f"{digest.hexdigest()} found): try again, or fetch the files yourself and name their folder with --raw."
            )
    for part in parts:
        part.unlink()


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
