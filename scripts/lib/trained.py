"""A trained model, and the split of data that an analysis reads with it, in this process."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import nat_plugin
from nat_plugin.errors import UserError


class Trained(NamedTuple):
    """Attributes:
    model: in evaluation mode, on its device.
    saved: the configuration of its training.
    task: fairseq's, with the data of the analysis.
    """

    model: Any
    saved: Any
    task: Any


def load_trained(checkpoint: Path, data: Path, device: torch.device) -> Trained:
    """Read a model; what fairseq would log of that is left out, as it would tear a progress bar.

    Args:
        data: the binarised data folder.

    Raises:
        UserError: it cannot be read.
    """
    nat_plugin.register()
    from fairseq import checkpoint_utils

    for name in ("fairseq", "hydra", "nat_plugin"):
        logging.getLogger(name).setLevel(logging.WARNING)
    [model], saved, task = checkpoint_utils.load_model_ensemble_and_task(
        [str(checkpoint)], arg_overrides={"data": str(data)}
    )
    return Trained(model.to(device).eval(), saved, task)


def load_split(task: Any, split: str, *, target_for: str = "") -> Any:
    """fairseq's data set of a split.

    Args:
        target_for: what the target side is read for; empty: it need not be there.

    Raises:
        UserError: there is no such split, or no target side.
    """
    data = task.cfg.data
    try:
        task.load_dataset(split)
    except FileNotFoundError as error:  # fairseq's own task has no sentence for it
        raise UserError(f"there is no binarised split '{split}' in {data}: choose another --split.") from error
    dataset = task.dataset(split)
    if target_for and dataset.tgt is None:
        raise UserError(f"split '{split}' of {data} has no target side {target_for}: binarise it.")
    return dataset


def batches(
    dataset: Any, split: str, model: Any, max_tokens: int, indices: np.ndarray | None = None
) -> Iterator[dict[str, Any]]:
    """Collated sentences, on the CPU; none is left out.

    Args:
        dataset: of :func:`load_split`, or one like it.
        split: what to call it.
        model: whose positions they must fit in.
        max_tokens: the most tokens of the longer side that a batch may hold, padding included.
        indices: which sentences, in the order of the batches; all by default.

    Raises:
        UserError: a sentence is longer than the model takes.
    """
    ordered = dataset.ordered_indices() if indices is None else indices
    kept, too_long = dataset.filter_indices_by_size(ordered, model.max_positions())
    if len(too_long):
        raise UserError(
            f"{len(too_long)} sentences of split '{split}', number {min(too_long) + 1} among them, are longer than the "
            "model takes, themselves or their translation: leave them out of the data."
        )
    for batch in dataset.batch_by_size(kept, max_tokens, None, required_batch_size_multiple=1):
        yield dataset.collater([dataset[index] for index in batch])


def build_criterion(saved: Any, task: Any, name: str = "", changes: Mapping[str, Any] | None = None) -> Any:
    """A criterion without label smoothing, in evaluation mode.

    Args:
        saved: the configuration of the training's criterion, which is used where it is the one asked for.
        task: fairseq's.
        name: of another criterion than the training's.
        changes: of the configuration.
    """
    from fairseq.criterions import CRITERION_DATACLASS_REGISTRY, CRITERION_REGISTRY
    from fairseq.dataclass.utils import merge_with_parent
    from omegaconf import OmegaConf

    name = name or saved._name
    dataclass = CRITERION_DATACLASS_REGISTRY[name]
    values = dict(saved) if saved._name == name else {}
    known = {key: value for key, value in values.items() if key in dataclass.__dataclass_fields__}
    cfg = OmegaConf.create({**known, "_name": name, "label_smoothing": 0.0, **(changes or {})})
    return CRITERION_REGISTRY[name].build_criterion(merge_with_parent(dataclass(), cfg), task).eval()
