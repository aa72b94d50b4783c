"""Run directories whose model has its initial weights, and everything else as scripts/train.py leaves it; and what
tests do with runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

import nat_plugin
from scripts.lib import launch
from scripts.lib.config import compose_run
from scripts.lib.runs import Run
from scripts.train import build_commands
from tests.scripts.tiny_training import settings


def make_run(data: Path, folder: Path, method: str, seed: int = 1, **fairseq: Any) -> Path:
    """A run of one of configs/method.

    Args:
        data: see :func:`tests.scripts.tiny_training.make_data`.
        seed: of the weights.
        fairseq: flags of fairseq-train that win.
    """
    nat_plugin.register()
    from fairseq import options, tasks
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    config = compose_run(settings(data, folder, method, **fairseq))
    run = Run(folder)
    [command] = build_commands(config, run, launch.Layout(1, [{"cpu": True}]))
    cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), command[1:]))
    torch.manual_seed(seed)
    model = tasks.setup_task(cfg.task).build_model(cfg.model)
    run.write_config(config)
    run.checkpoints.mkdir(parents=True)
    state = {
        "args": None,
        "cfg": OmegaConf.to_container(cfg, resolve=True, enum_to_str=True),
        "model": model.state_dict(),
        "optimizer_history": [{"num_updates": 0, "optimizer_name": "FairseqAdam", "lr_scheduler_state": {}}],
        "extra_state": {},
        "task_state": {},
        "last_optimizer_state": None,
    }
    torch.save(state, run.last_checkpoint)
    return folder


def copy_run(run: Path, folder: Path) -> Path:
    """A run without its results."""
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("results"))
    return folder


def read_row(path: Path) -> dict[str, Any]:
    """The one row of a results file."""
    [row] = json.loads(path.read_text(encoding="utf-8"))
    return dict(row)


def load_run(run: Path, data: Path, split: str) -> tuple[Any, Any]:
    """The model of the last checkpoint, and its task with one split loaded."""
    from fairseq import checkpoint_utils

    checkpoint = str(run / "checkpoints" / "checkpoint_last.pt")
    [model], _, task = checkpoint_utils.load_model_ensemble_and_task([checkpoint], arg_overrides={"data": str(data)})
    task.load_dataset(split)
    return model.eval(), task
