"""Which part of a job that is cut into pieces this process has to do, of several on one machine or many."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from nat_plugin.errors import UserError


@dataclass(frozen=True)
class Part:
    """Part ``number`` of ``count``, from 0: every ``count``-th piece.

    Attributes:
        gpu: the only GPU to use, where a launcher starts one process for each; None: all that are visible.
    """

    number: int = 0
    count: int = 1
    gpu: int | None = None

    @property
    def is_all(self) -> bool:
        return self.count == 1

    def pieces(self, total: int) -> range:
        """The pieces 0 … total-1 that are this part's."""
        return range(self.number, total, self.count)

    def __str__(self) -> str:
        return f"{self.number + 1}/{self.count}"


def find_part(given: str | None = None, environment: Mapping[str, str] = os.environ) -> Part:
    """The part that the command line names, else the one that torchrun or SLURM's srun started this process for.

    A job array (``SLURM_ARRAY_TASK_ID``) is not taken as such: its numbers may count something else.

    Args:
        given: ``K/N``, K from 1.

    Raises:
        UserError: ``given`` is no such pair.
    """
    if given is not None:
        try:
            number, count = (int(word) for word in given.split("/"))
        except ValueError as error:
            raise UserError(f"--part {given} is no part: write K/N, such as 1/4 … 4/4.") from error
        if not 1 <= number <= count:
            raise UserError(f"--part {given} is no part: K goes from 1 to N.")
        return Part(number - 1, count)
    if "RANK" in environment and "WORLD_SIZE" in environment:
        return Part(int(environment["RANK"]), int(environment["WORLD_SIZE"]), int(environment.get("LOCAL_RANK", "0")))
    tasks = int(environment.get("SLURM_STEP_NUM_TASKS", "1"))
    if tasks == 1:
        return Part()
    nodes = int(environment.get("SLURM_STEP_NUM_NODES", environment.get("SLURM_NNODES", "1")))
    # One task a node takes all of its GPUs; of several on a node each takes one.
    gpu = None if tasks == nodes else int(environment.get("SLURM_LOCALID", "0"))
    return Part(int(environment["SLURM_PROCID"]), tasks, gpu)
