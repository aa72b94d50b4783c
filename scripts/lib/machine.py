"""What this computer can do, and how a batch is spread over its processes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nat_plugin.errors import UserError

_GIB = 2**30


def detect_machine() -> str:
    """The file in ``configs/machine`` that fits the first visible GPU, or ``cpu``."""
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    generation = torch.cuda.get_device_capability(0)[0]
    if generation < 7:
        return "gpu"
    if generation == 7:
        return "v100"
    return "h200" if torch.cuda.get_device_properties(0).total_memory > 100 * _GIB else "a100"


def visible_gpus() -> int:
    """How many GPUs this process may use."""
    import torch

    return torch.cuda.device_count()


@dataclass(frozen=True)
class BatchPlan:
    """How an effective batch is made up: ``processes`` × ``update_freq`` × ``max_tokens`` tokens."""

    processes: int
    update_freq: int
    max_tokens: int

    def describe(self, asked: int) -> str:
        """One sentence for the user."""
        total = self.processes * self.update_freq * self.max_tokens
        rounding = "" if total == asked else f" ({asked} asked for; rounded to whole tokens a process)"
        return (
            f"one update = {self.processes} process(es) x {self.update_freq} batch(es) x {self.max_tokens} tokens"
            f" = {total} tokens{rounding}"
        )


def plan_batch(batch_tokens: int, max_tokens: int, processes: int) -> BatchPlan:
    """Spread ``batch_tokens`` over processes and accumulated batches of at most ``max_tokens`` each.

    Raises:
        UserError: there are more processes than tokens.
    """
    update_freq = math.ceil(batch_tokens / (max_tokens * processes))
    share = round(batch_tokens / (update_freq * processes))
    if share < 1:
        raise UserError(
            f"batch_tokens={batch_tokens} leaves no token for each of {processes} processes: raise batch_tokens or use "
            "fewer processes."
        )
    return BatchPlan(processes, update_freq, share)


def check_machine(machine: Mapping[str, Any]) -> None:
    """Refuse a machine that is not here.

    Raises:
        UserError: GPUs are asked for and there are none, or fewer than asked.
    """
    if machine["device"] != "cuda":
        return
    found = visible_gpus()
    if found == 0:
        raise UserError(f"machine={machine['name']} needs a CUDA GPU and none is visible here: use machine=cpu.")
    if machine["processes"] != "auto" and machine["processes"] > found:
        raise UserError(
            f"machine.processes={machine['processes']} but {found} GPU(s) are visible: one process needs one GPU."
        )
