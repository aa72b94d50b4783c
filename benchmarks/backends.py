"""Which backends a benchmark runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Optional

import torch

from nat_plugin.alignments.backends import BACKENDS, choose_backend
from nat_plugin.errors import UserError


def choose_backends(asked: Optional[Sequence[str]], device: str) -> list[str]:
    """Those that were asked for; by default all that work here, the others named on standard error with the reason.

    Raises:
        UserError: there is no such device, or one that was asked for does not work on it.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda needs a CUDA GPU and none is visible here: use --device cpu.")
    working = []
    for name in asked or BACKENDS:
        try:
            choose_backend(torch.empty(0, device=device), name)
        except ValueError as error:
            if asked:
                raise UserError(f"--backends {name}: {error}.") from error
            print(f"without {name}: {error}", file=sys.stderr)
        else:
            working.append(name)
    return working
