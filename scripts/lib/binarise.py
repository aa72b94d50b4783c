"""Binarised data: running ``fairseq-preprocess``, and reading back what it wrote."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nat_plugin.errors import UserError
from scripts.lib.generation import USER_DIR, displayed_path, executable

# fairseq.data.indexed_dataset's memory-mapped format, and the places of its own symbols in a dictionary.
_MAGIC = b"MMIDIDX\x00\x00"
_DTYPES = {1: np.uint8, 2: np.int8, 3: np.int16, 4: np.int32, 5: np.int64, 8: np.uint16, 9: np.uint32, 10: np.uint64}
_OWN_SYMBOLS = 4
_UNKNOWN = 3


@dataclass(frozen=True)
class Binarised:
    """What a binarised side of a split holds."""

    sentences: int
    tokens: int
    """Without the end-of-sentence symbols."""
    types: int
    """Different tokens, without fairseq's own symbols."""
    unknown: int
    """Tokens that the dictionary lacks."""


def preprocess_command(
    text: Path,
    splits: Mapping[str, str],
    languages: tuple[str, str],
    destination: Path,
    *,
    joined: bool,
    workers: int,
    min_count: int = 0,
) -> list[str]:
    """The ``fairseq-preprocess`` command that binarises ``text/<split>.<language>``.

    Args:
        splits: file stem in ``text`` → fairseq's split (``train``, ``valid`` or ``test``).
        joined: one dictionary for both languages.
        min_count: rarer tokens become ``<unk>``.
    """
    source, target = languages
    command = ["fairseq-preprocess", "--user-dir", displayed_path(USER_DIR), "--task", "nat_translation"]
    command += ["--source-lang", source, "--target-lang", target]
    for stem, split in splits.items():
        command += [f"--{split}pref", displayed_path(text / stem)]
    command += ["--destdir", displayed_path(destination), "--workers", str(workers)]
    if joined:
        command.append("--joined-dictionary")
    if min_count:
        command += ["--thresholdsrc", str(min_count), "--thresholdtgt", str(min_count)]
    return command


def preprocess(command: list[str], log: Path) -> None:
    """Run ``command`` (see :func:`preprocess_command`) with its output in ``log``.

    Raises:
        UserError: it failed; the message has its last line.
        OSError: it failed because the disk is full.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as handle:
        status = subprocess.run(
            [*executable(command[0]), *command[1:]], stdout=handle, stderr=subprocess.STDOUT
        ).returncode
    if status == 0:
        return
    output = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if any(os.strerror(errno.ENOSPC) in line for line in output):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(log.parent))
    last = output[-1] if output else f"status {status}"
    raise UserError(f"fairseq-preprocess failed ({last}): its whole output is in {log}.")


def read_binarised(prefix: Path) -> Binarised:
    """What ``<prefix>.idx`` and ``<prefix>.bin`` hold, as fairseq-preprocess wrote them.

    Raises:
        UserError: a file is missing, cut off, or in another format.
    """
    sizes, data = read_tokens(prefix)
    types = np.unique(data)
    return Binarised(
        sentences=sizes.size,
        tokens=data.size - sizes.size,
        types=int((types >= _OWN_SYMBOLS).sum()),
        unknown=int((data == _UNKNOWN).sum()),
    )


def read_tokens(prefix: Path) -> tuple[np.ndarray, np.ndarray]:
    """The length of every sentence, its end marker included, and the tokens of all, one sentence after the other.

    Raises:
        UserError: as :func:`read_binarised`.
    """
    index_path, data_path = (prefix.with_name(prefix.name + suffix) for suffix in (".idx", ".bin"))
    try:
        index = index_path.read_bytes()
        magic, version, code, sentences = struct.unpack_from("<9sQBQ", index)
        if magic != _MAGIC or version != 1:
            raise ValueError("not fairseq's memory-mapped format")
        sizes = np.frombuffer(index, dtype=np.int32, count=sentences, offset=struct.calcsize("<9sQBQ"))
        # the addresses of the sentences, which fairseq goes by
        np.frombuffer(index, dtype=np.int64, count=sentences, offset=struct.calcsize("<9sQBQ") + sizes.nbytes)
        data = np.fromfile(data_path, dtype=_DTYPES[code])
        if sizes.sum() != data.size:
            raise ValueError(f"{sizes.sum()} tokens in the index, {data.size} in the data")
    except (FileNotFoundError, struct.error, ValueError, KeyError) as error:
        raise UserError(f"{prefix} is not whole ({error}): binarise the data again.") from error
    return sizes, data


def dictionary_size(path: Path) -> int:
    """Entries of ``dict.<language>.txt`` as a model counts them, fairseq's own four included."""
    with open(path, encoding="utf-8", newline="\n") as handle:
        return sum(1 for _ in handle) + _OWN_SYMBOLS
