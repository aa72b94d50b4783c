"""The mean of several checkpoints' parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

import nat_plugin
from nat_plugin.errors import UserError
from nat_plugin.guards.writing import write_whole

_EPOCH_OR_UPDATE = re.compile(r"checkpoint(?:(\d+)|_(\d+)_(\d+))\.pt")


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint on the CPU, through fairseq's loader and torch's safe one.

    Raises:
        UserError: the file is missing, truncated, foreign, or carries code.
    """
    nat_plugin.register()
    from fairseq import checkpoint_utils

    state: dict[str, Any] = checkpoint_utils.load_checkpoint_to_cpu(str(path))
    return state


def updates_done(state: dict[str, Any]) -> int:
    """How many updates a checkpoint has seen."""
    history = state.get("optimizer_history") or [{}]
    return int(history[-1].get("num_updates", 0))


def average(paths: Sequence[Path]) -> dict[str, Any]:
    """The first checkpoint with its parameters replaced by the mean over all, and without the optimiser's state.

    The sum is taken in fp32 (fp64 where a parameter has that) and the mean returned in each parameter's own type.
    Integer buffers come from the first checkpoint.

    Raises:
        UserError: no checkpoint is given, or the parameters differ in name or shape.
    """
    if not paths:
        raise UserError("there is no checkpoint to average: name at least one.")
    result = load_checkpoint(paths[0])
    first = result["model"]
    sums = {name: _accumulator(value) for name, value in first.items() if value.is_floating_point()}
    for path in paths[1:]:
        model = load_checkpoint(path)["model"]
        check_same_parameters(first, model, paths[0], path)
        for name, total in sums.items():
            total += model[name]
    result["model"] = {
        name: (sums[name] / len(paths)).to(value.dtype) if name in sums else value for name, value in first.items()
    }
    result["last_optimizer_state"] = None  # it belongs to none of the averaged models
    return result


def _accumulator(value: torch.Tensor) -> torch.Tensor:
    return value.to(torch.promote_types(value.dtype, torch.float32), copy=True)


def check_same_parameters(
    first: dict[str, Any],
    other: dict[str, Any],
    first_path: Path,
    other_path: Path,
    remedy: str = "average checkpoints of one training only",
) -> None:
    """Make sure that two models' parameters have the same names and shapes.

    Raises:
        UserError: they have not; it ends with ``remedy``.
    """
    if first.keys() != other.keys():
        unmatched = sorted(first.keys() ^ other.keys())
        raise UserError(
            f"{first_path} and {other_path} do not hold the same parameters ({len(unmatched)} differ, among them "
            f"{unmatched[0]}): {remedy}."
        )
    for name, value in first.items():
        if value.shape != other[name].shape:
            raise UserError(
                f"parameter {name} has shape {tuple(value.shape)} in {first_path} but {tuple(other[name].shape)} in "
                f"{other_path}: {remedy}."
            )


def best_checkpoints(folder: Path, metric: str, count: int) -> list[Path]:
    """Up to ``count`` of fairseq's ``checkpoint.best_<metric>_<value>.pt``, best first.

    fairseq puts one random digit after the value's third decimal to tell equal values apart.
    """
    pattern = re.compile(rf"checkpoint\.best_{re.escape(metric)}_(-?\d+\.?\d*)\.pt")
    found = [(float(match[1]), path) for path in folder.iterdir() if (match := pattern.fullmatch(path.name))]
    found.sort(key=lambda entry: (entry[0], entry[1].name), reverse=metric == "bleu")
    return [path for _, path in found[:count]]


def last_checkpoints(folder: Path, count: int) -> list[Path]:
    """Up to ``count`` of the checkpoints written at the end of epochs or at fixed numbers of updates, last first.

    A training that ended within an epoch has its end in ``checkpoint_last.pt`` alone, which is then the first.
    """
    found = []
    for path in folder.iterdir():
        match = _EPOCH_OR_UPDATE.fullmatch(path.name)
        if match:
            # checkpoint_7_500.pt was written in epoch 7, before its end, at which checkpoint7.pt is written.
            order = (int(match[1]), 1, 0) if match[1] else (int(match[2]), 0, int(match[3]))
            found.append((order, path))
    paths = [path for _, path in sorted(found, reverse=True)]
    end = folder / "checkpoint_last.pt"
    if end.is_file() and (not paths or _updates_in(end) > _updates_in(paths[0])):
        paths.insert(0, end)
    return paths[:count]


def _updates_in(path: Path) -> int:
    return updates_done(load_checkpoint(path))


def write_average(paths: Sequence[Path], output: Path) -> None:
    """Average ``paths`` into ``output``, which is whole or absent."""
    write_checkpoint(average(paths), output)


def write_checkpoint(state: dict[str, Any], output: Path) -> None:
    """Write what :func:`load_checkpoint` returned, whole or not at all.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    if OmegaConf.is_config(state.get("cfg")):
        # As fairseq writes it: torch's safe loading knows no classes of omegaconf.
        cfg = OmegaConf.to_container(state["cfg"], resolve=True, enum_to_str=True)
        state = {**state, "cfg": cfg}
    write_whole(str(output), lambda handle: torch.save(state, handle))
