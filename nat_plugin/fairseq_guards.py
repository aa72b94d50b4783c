"""Four mends around fairseq that any user of the plugin needs, whatever command loaded it.

1. Checkpoints hold a few classes besides tensors; torch >= 2.6 refuses them unless they are named as safe. They are
   named here, so that the check itself stays on: a pickle that carries code is refused, not run.
2. A checkpoint that is truncated, foreign or unsafe is reported in one sentence.
3. fairseq copies ``checkpoint_last.pt`` in place: a kill in that moment would leave a truncated file. The copy goes
   to a temporary name and is renamed.
4. A :class:`nat_plugin.errors.UserError` that nobody caught is printed as its one sentence, without a traceback; so is
   a loss that is not finite.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shutil
import sys
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from nat_plugin.errors import UserError


def install() -> None:
    """Put all four in place (idempotent)."""
    _allow_checkpoint_classes()
    _guard_checkpoint_loading()
    _copy_checkpoints_atomically()
    _print_user_errors_plainly()


def _allow_checkpoint_classes() -> None:
    if not hasattr(torch.serialization, "add_safe_globals"):  # torch < 2.4 has no such check
        return
    dtype_classes = [getattr(np.dtypes, name) for name in dir(np.dtypes) if name.endswith("DType")]
    safe: list[Any] = [argparse.Namespace, np.ndarray, np.dtype, *dtype_classes]
    multiarray = importlib.import_module("numpy._core.multiarray" if hasattr(np, "_core") else "numpy.core.multiarray")
    for path in ("numpy.core.multiarray", "numpy._core.multiarray"):  # a checkpoint names whichever its numpy had
        safe += [(getattr(multiarray, name), f"{path}.{name}") for name in ("_reconstruct", "scalar")]
    torch.serialization.add_safe_globals(safe)


def _guard_checkpoint_loading() -> None:
    from fairseq import checkpoint_utils

    original = checkpoint_utils.load_checkpoint_to_cpu
    if getattr(original, "guarded", False):
        return

    def load_checkpoint_to_cpu(path: str, *args: Any, **kwargs: Any) -> Any:
        """fairseq's loader; a file that is no whole, safe fairseq checkpoint raises :class:`UserError`."""
        if not os.path.isfile(path):
            raise UserError(f"there is no checkpoint at {path}: check --path, --restore-file or --finetune-from-model.")
        try:
            state = original(path, *args, **kwargs)
        except UnpicklingError as error:
            named = re.search(r"GLOBAL ([\w.]+)", str(error))
            raise UserError(
                f"{path} was refused by torch's safe loader and nothing in it was executed: it "
                + (f"names code to run ({named.group(1)})" if named else "is damaged or was not written by torch.save")
                + "; use a checkpoint written by fairseq-train."
            ) from error
        except (EOFError, OSError, RuntimeError) as error:
            if "memory" in str(error):
                raise
            reason = str(error).partition(". ")[0] or type(error).__name__
            raise UserError(
                f"{path} is truncated or no checkpoint at all ({reason}): use an earlier one from the same folder, such "
                "as checkpoint_best.pt, or copy it again."
            ) from error
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path} is not a fairseq checkpoint ({error}): use one written by fairseq-train."
            ) from error
        if not isinstance(state.get("model"), dict):
            raise UserError(f"{path} is not a fairseq checkpoint (it holds no model): use one of fairseq-train.")
        return state

    load_checkpoint_to_cpu.guarded = True  # type: ignore[attr-defined]
    checkpoint_utils.load_checkpoint_to_cpu = load_checkpoint_to_cpu


def _copy_checkpoints_atomically() -> None:
    from fairseq.file_io import PathManager

    original = PathManager.copy
    if getattr(original, "atomic", False):
        return

    def copy(src_path: str, dst_path: str, overwrite: bool = False) -> bool:
        """Copy a local file under a temporary name, then rename it; other paths go to fairseq's own copy."""
        if not os.path.isfile(src_path):
            return bool(original(src_path, dst_path, overwrite=overwrite))
        if os.path.exists(dst_path) and not overwrite:
            return False
        temporary = f"{dst_path}.{os.getpid()}.tmp"
        try:
            shutil.copyfile(src_path, temporary)
            os.replace(temporary, dst_path)
        finally:
            if os.path.exists(temporary):
                os.remove(temporary)
        return True

    copy.atomic = True  # type: ignore[attr-defined]
    PathManager.copy = staticmethod(copy)


def _print_user_errors_plainly() -> None:
    previous = sys.excepthook
    if getattr(previous, "plain_user_errors", False):
        return

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if isinstance(error, UserError):
            print(f"error: {error}", file=sys.stderr)
        elif isinstance(error, FloatingPointError):  # how fairseq's trainer reports a loss that is not finite
            print(
                f"error: training stopped because {error}: the last checkpoint is as it was; lower --lr, raise "
                "--warmup-updates or set --clip-norm, then start again.",
                file=sys.stderr,
            )
        else:
            previous(kind, error, trace)

    hook.plain_user_errors = True  # type: ignore[attr-defined]
    sys.excepthook = hook
