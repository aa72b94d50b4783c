"""What the tests of the alignments share."""

from __future__ import annotations

import importlib

import torch
from torch import Tensor


def _works(backend: str) -> bool:
    try:
        module = importlib.import_module(f"nat_plugin.alignments.backends.{backend}_backend")
    except ImportError:
        return False
    return "cpu" in module.DEVICES


BACKENDS = [name for name in ("torch", "cpp") if _works(name)]
"""The backends that work on CPU tensors here, without Triton's interpreter, which has tests of its own."""


def lengths(*values: int) -> Tensor:
    return torch.tensor(values)
