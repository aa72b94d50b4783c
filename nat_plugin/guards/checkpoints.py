"""Reading checkpoints: safely, and with one sentence for a file that cannot be used.

Checkpoints hold a few classes besides tensors, and torch >= 2.6 refuses them unless they are named as safe. They are
named here, so that the check itself stays on: a pickle that carries code is refused, not run. It is on whatever fairseq
asks for, and whatever the environment says. Wherever a checkpoint can be named, the safetensors file of one can be too.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from nat_plugin.errors import UserError
from nat_plugin.guards.patching import Function, replace
from nat_plugin.weights import SUFFIX, check_dictionaries, read_weights

_UNSAFE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"  # an advice often read: it lets every checkpoint run code
_DEFAULT_RESTORE_FILE = "checkpoint_last.pt"
_SIZE_MISMATCH = re.compile(r"size mismatch for (\S+): .*?Size\(\[(.*?)\]\) from checkpoint, .*?Size\(\[(.*?)\]\)")


def install() -> None:
    from fairseq import checkpoint_utils
    from fairseq.trainer import Trainer

    os.environ.pop(_UNSAFE, None)
    if _can_read_safely():
        _allow_classes()
    replace(checkpoint_utils, "load_checkpoint_to_cpu", _guarded_reading)
    replace(checkpoint_utils, "load_model_ensemble_and_task", _guarded_model)
    replace(checkpoint_utils, "load_checkpoint", _guarded_beginning)
    replace(Trainer, "load_checkpoint", _guarded_resumption)


def _can_read_safely() -> bool:
    return tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2]) >= (2, 6)


def _allow_classes() -> None:
    dtype_classes = [getattr(np.dtypes, name) for name in dir(np.dtypes) if name.endswith("DType")]
    safe: list[Any] = [argparse.Namespace, np.ndarray, np.dtype, *dtype_classes]
    multiarray = importlib.import_module("numpy._core.multiarray" if hasattr(np, "_core") else "numpy.core.multiarray")
    for path in ("numpy.core.multiarray", "numpy._core.multiarray"):  # a checkpoint names whichever its numpy had
        safe += [(getattr(multiarray, name), f"{path}.{name}") for name in ("_reconstruct", "scalar")]
    torch.serialization.add_safe_globals(safe)


def _guarded_reading(original: Function) -> Function:
    def load_checkpoint_to_cpu(path: str, *args: Any, **kwargs: Any) -> Any:
        """fairseq's; a file that is no whole, safe fairseq checkpoint raises :class:`UserError`."""
        if not os.path.isfile(path):
            raise _missing(path)
        try:
            with _reading_data_alone(path):
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
                f"{path} is truncated or no checkpoint at all ({reason}): use an earlier one of that folder, such "
                "as checkpoint_best.pt, or copy it again."
            ) from error
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path} is not a fairseq checkpoint ({error}): use one written by fairseq-train."
            ) from error
        if not isinstance(state.get("model"), dict):
            raise UserError(f"{path} is not a fairseq checkpoint (it holds no model): use one of fairseq-train.")
        return state

    return load_checkpoint_to_cpu


@contextmanager
def _reading_data_alone(path: str) -> Iterator[None]:
    """Within the context torch.load runs nothing that a file holds, and reads safetensors as a checkpoint.

    Raises:
        UserError: this torch cannot do that.
    """
    if not _can_read_safely():
        raise UserError(f"torch {torch.__version__} would run code that {path} may hold: install torch 2.6 or newer.")
    original = torch.load

    def load(file: Any, *args: Any, **kwargs: Any) -> Any:
        if path.endswith(SUFFIX):
            return read_weights(path)
        return original(file, *args, **{**kwargs, "weights_only": True})

    torch.load = load  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.load = original


def _guarded_model(original: Function) -> Function:
    def load_model_ensemble_and_task(
        filenames: list[str], arg_overrides: Any = None, task: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """fairseq's; a file that is missing, does not fit or translates the other way raises :class:`UserError`."""
        shown = ", ".join(filenames)
        if task is not None:
            for path in filenames:
                if path.endswith(SUFFIX) and os.path.isfile(path):
                    check_dictionaries(path, Path(str(task.cfg.data).split(os.pathsep)[0]))
        try:
            result = original(filenames, arg_overrides, task, *args, **kwargs)
        except OSError as error:
            if str(error).startswith("Model file not found"):
                raise _missing(shown) from error
            raise
        except RuntimeError as error:
            raise (misfit(shown, error) or error) from error
        if task is not None:
            _check_direction(shown, result[1].task, task.cfg)
        return result

    return load_model_ensemble_and_task


def _guarded_beginning(original: Function) -> Function:
    def load_checkpoint(cfg: Any, *args: Any, **kwargs: Any) -> Any:
        """fairseq's; flags that do not go together, and a missing --finetune-from-model, raise :class:`UserError`."""
        try:
            return original(cfg, *args, **kwargs)
        except ValueError as error:
            reason = str(error).partition(": {")[0]  # without the whole configuration
            if not reason.startswith("--finetune-from-model"):
                raise
            raise UserError(f"{reason}: correct it, or drop it to start from random weights.") from error

    return load_checkpoint


def _guarded_resumption(original: Function) -> Function:
    def load_checkpoint(self: Any, filename: str, *args: Any, **kwargs: Any) -> Any:
        """fairseq's; a file that is named but missing, or does not fit, raises :class:`UserError`.

        A model of ours hears here whether its training begins: the only place before the optimiser copies its weights.
        Every process reads the file itself: what fairseq would send from one to the others holds further classes.
        """
        self.cfg.checkpoint.load_checkpoint_on_all_dp_ranks = True
        wanted = self.cfg.checkpoint.restore_file
        if wanted != _DEFAULT_RESTORE_FILE and not os.path.isfile(filename):
            raise UserError(f"there is no checkpoint at --restore-file {wanted}: correct it, or drop it to start anew.")
        begin_training = getattr(self.get_model(), "begin_training", None)
        if begin_training is not None:
            begin_training(self.task, restored=filename if os.path.isfile(filename) else "")
        try:
            return original(self, filename, *args, **kwargs)
        except AssertionError as error:
            if "--reset-optimizer" in str(error):
                raise UserError(f"{filename} cannot be continued with these flags: {error}.") from error
            raise
        except Exception as error:  # fairseq wraps whatever happened in a plain Exception
            raise (misfit(filename, error.__context__) or error) from error

    return load_checkpoint


def _missing(path: str) -> UserError:
    if os.path.isdir(path):
        return UserError(
            f"{path} is a folder: name a checkpoint in it, such as {os.path.join(path, 'checkpoint_best.pt')}."
        )
    return UserError(f"there is no checkpoint at {path}: check --path, --restore-file or --finetune-from-model.")


def misfit(path: str, error: BaseException | None) -> UserError | None:
    """torch's list of all parameters that do not fit, as one sentence; None for an error about something else."""
    text = str(error)
    if "Error(s) in loading state_dict" not in text:
        return None
    sizes = _SIZE_MISMATCH.search(text)
    what = f"{sizes[1]} is [{sizes[2]}] in it, but [{sizes[3]}] here" if sizes else "it holds parameters of other names"
    return UserError(
        f"{path} does not fit the model that is built here ({what}): give the dictionaries, the --arch and the sizes "
        "that it was trained with."
    )


def _check_direction(path: str, saved: Any, given: Any) -> None:
    trained = (getattr(saved, "source_lang", None), getattr(saved, "target_lang", None))
    asked = (getattr(given, "source_lang", None), getattr(given, "target_lang", None))
    if trained != asked and trained == asked[::-1]:
        raise UserError(
            f"{path} translates {trained[0]} to {trained[1]}, not {asked[0]} to {asked[1]}: swap --source-lang and "
            "--target-lang, or give the other model."
        )
