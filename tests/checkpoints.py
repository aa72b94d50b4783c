"""Small checkpoints without a model behind them, and code to hide in one."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

STATE: dict[str, Any] = {
    "args": Namespace(arch="transformer", task="translation"),
    "model": {"weight": torch.arange(3.0)},
    "optimizer_history": [{"num_updates": 3, "optimizer_name": "FairseqAdam", "lr_scheduler_state": {}}],
    "extra_state": {"train_iterator": {"epoch": 1}, "score": np.float64(0.5), "meters": np.arange(3)},
}
"""What fairseq writes, classes that are no tensors included."""


class CreatesFile:
    """What it is unpickled to creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., int], tuple[str]]:
        return os.system, (f"touch '{self.path}'",)
