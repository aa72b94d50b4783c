"""Three implementations of the same few functions, and the choice between them.

A backend is a module with ``read_slots`` and ``write_gradient``, the two passes over the logits, ``gather_logits``, and
the small programs ``axe_paths``, ``ctc_occupancy`` and ``ctc_best_paths``. :mod:`.torch_backend` states what each one
computes; :mod:`.cpp_backend` is compiled by setup.py where there is a compiler; :mod:`.triton_backend` is for CUDA.
"""

from __future__ import annotations

import importlib
import logging
import os
from functools import cache
from types import ModuleType
from typing import Optional

from torch import Tensor

logger = logging.getLogger(__name__)

BACKENDS = ("torch", "cpp", "triton")
VARIABLE = "NAT_PLUGIN_BACKEND"


def choose_backend(tensor: Tensor, name: Optional[str] = None) -> ModuleType:
    """The backend for tensors like ``tensor``.

    ``name`` decides; without it the environment variable NAT_PLUGIN_BACKEND; without that triton on CUDA and cpp on a
    CPU, each if it can be loaded, and torch otherwise. A choice that ``name`` has not made is logged once for each kind
    of device.

    Raises:
        ValueError: an unknown name, or a backend that cannot be loaded or does not work on the tensor's device.
    """
    asked = name or os.environ.get(VARIABLE)
    device = tensor.device.type
    if not asked:
        return _automatic(device)
    if asked not in BACKENDS:
        source = "backend" if name else VARIABLE
        raise ValueError(f"{source} must be one of {', '.join(BACKENDS)}, not {asked!r}")
    module, problem = _load(asked)
    if module is None:
        raise ValueError(f"the {asked} backend cannot be used: {problem}")
    if device not in module.DEVICES:
        raise ValueError(f"the {asked} backend works on {' and '.join(module.DEVICES)} tensors, not on {device}")
    if not name:
        _log_once(device, asked, f"as {VARIABLE} says")
    return module


def backend_in_use(device: str) -> tuple[str, str]:
    """The backend that is chosen by itself for tensors on ``device``, and why it is not the fast one there, or ""."""
    preferred = {"cpu": "cpp", "cuda": "triton"}.get(device, "torch")
    module, problem = _load(preferred)
    if module is not None and device in module.DEVICES:
        return preferred, ""
    return "torch", f"{preferred}: {problem or 'not for this device'}"


@cache
def _automatic(device: str) -> ModuleType:
    name, why = backend_in_use(device)
    _log_once(device, name, why)
    module, _ = _load(name)
    assert module is not None
    return module


@cache
def _log_once(device: str, name: str, why: str) -> None:
    logger.info("alignments on %s: %s backend%s", device, name, f" ({why})" if why else "")


@cache
def _load(name: str) -> tuple[Optional[ModuleType], str]:
    try:
        return importlib.import_module(f"{__name__}.{name}_backend"), ""
    except ImportError as error:
        return None, str(error)
