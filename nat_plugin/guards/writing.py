"""Writing checkpoints: each is whole or absent, and a full disk ends in one sentence.

fairseq tries a failed write again into the same open file, which would leave a damaged start in it, and copies
``checkpoint_last.pt`` in place, which a kill in that moment would leave truncated. Here both go to a temporary name
first.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import IO, Any

import torch

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write
from nat_plugin.guards.patching import Function, replace


def install() -> None:
    from fairseq import checkpoint_utils
    from fairseq.file_io import PathManager

    replace(checkpoint_utils, "torch_persistent_save", _guarded_saving)
    replace(PathManager, "copy", _guarded_copying)


def _guarded_saving(original: Function) -> Function:
    def torch_persistent_save(obj: Any, filename: str, async_write: bool = False) -> None:
        """fairseq's; a write that fails raises :class:`UserError` and leaves what was there."""
        if async_write:
            original(obj, filename, async_write=True)
            return
        write_whole(filename, lambda handle: torch.save(obj, handle))

    return torch_persistent_save


def _guarded_copying(original: Function) -> Function:
    def copy(src_path: str, dst_path: str, overwrite: bool = False) -> bool:
        """Copy a local file; other paths go to fairseq's own copy. A write that fails raises :class:`UserError`."""
        if not os.path.isfile(src_path):
            return bool(original(src_path, dst_path, overwrite=overwrite))
        if os.path.exists(dst_path) and not overwrite:
            return False
        with open(src_path, "rb") as source:
            write_whole(dst_path, lambda handle: shutil.copyfileobj(source, handle))
        return True

    return copy


def write_whole(filename: str, write: Callable[[IO[bytes]], object]) -> None:
    """Have a checkpoint written to a temporary name, which then becomes ``filename``.

    Raises:
        UserError: it could not be written; what was there is as it was.
    """
    try:
        with atomic_write(filename, "wb") as handle:
            write(handle)
    except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
        raise UserError(
            f"{filename} could not be written ({reason}): see to it that the disk has space for it and run the same "
            "command again; the checkpoints written before are whole."
        ) from error
