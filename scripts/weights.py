#!/usr/bin/env python3
"""Hand weights on as safetensors, a file in which nothing can be run, and make a checkpoint of one again.

    scripts/weights.py export runs/multi30k_en_de_kd/ctc_small                  # its averaged checkpoint
    scripts/weights.py export checkpoints/checkpoint_best.pt --output model.safetensors
    scripts/weights.py import model.safetensors --data data-bin/multi30k_en_de_kd

The file carries the configuration, the version of the plugin and a digest of both dictionaries. With the plugin loaded
it can be named wherever a checkpoint can (fairseq-generate --path, start_from=, scripts/evaluate.py); `import` makes
what fairseq alone can read, with the same parameters bit for bit, after it has built the model and loaded them into it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from nat_plugin.errors import UserError
from nat_plugin.weights import SUFFIX, check_dictionaries, write_weights
from scripts.lib.cli import run_main, script_parser
from scripts.lib.generation import displayed_path
from scripts.lib.trained_model import TrainedModel


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = script_parser(__doc__)
    jobs = parser.add_subparsers(dest="job", required=True, metavar="export|import")
    export = jobs.add_parser("export", help="a checkpoint to safetensors")
    export.add_argument("model", type=Path, metavar="RUN|CHECKPOINT", help="run directory, or any fairseq checkpoint")
    export.add_argument("--checkpoint", help="file in RUN/checkpoints, or a path (default: as scripts/evaluate.py)")
    export.add_argument("--data", type=Path, metavar="DIR", help="folder with its dictionaries (default: its own data)")
    export.add_argument("--output", type=Path, metavar="FILE", help=f"default: the checkpoint's name with {SUFFIX}")
    back = jobs.add_parser("import", help="safetensors to a checkpoint")
    back.add_argument("model", type=Path, metavar="FILE", help="written by export")
    back.add_argument("--data", type=Path, metavar="DIR", help="what it will translate (default: what trained it)")
    back.add_argument("--output", type=Path, metavar="CHECKPOINT", help="default: the file's name with .pt")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    output = export_weights(options) if options.job == "export" else import_weights(options)
    print(f"written: {displayed_path(output)} ({output.stat().st_size / 2**20:.1f} MiB)")


def export_weights(options: argparse.Namespace) -> Path:
    """Write the safetensors file.

    Raises:
        UserError: the model, its data or a name for the file cannot be used.
    """
    from scripts.lib.averaging import load_checkpoint  # seconds to import

    model = TrainedModel.load(options.model)
    checkpoint = model.checkpoint(options.checkpoint)
    output = options.output or checkpoint.with_suffix(SUFFIX)
    if output.suffix != SUFFIX or output.is_dir():
        raise UserError(f"--output {output} is no name for a file of weights: end it in {SUFFIX}.")
    if checkpoint.suffix == SUFFIX:
        raise UserError(f"{checkpoint} is a file of weights already: name a checkpoint, or copy it.")
    write_weights(load_checkpoint(checkpoint), output, options.data or model.data)
    return Path(output)


def import_weights(options: argparse.Namespace) -> Path:
    """Write the checkpoint.

    Raises:
        UserError: the file is damaged, of other dictionaries or does not fit its own configuration; or the checkpoint
            is there already.
    """
    from scripts.lib.averaging import load_checkpoint, write_checkpoint  # seconds to import

    if options.model.suffix != SUFFIX:
        raise UserError(f"{options.model} does not end in {SUFFIX}: name a file of scripts/weights.py export.")
    output = Path(options.output or options.model.with_suffix(".pt"))
    if output.exists():
        raise UserError(f"{output} exists already: name another --output, or remove it.")
    state = load_checkpoint(options.model)
    data = options.data or Path(str(state["cfg"]["task"]["data"]).split(os.pathsep)[0])
    if not data.is_dir():
        raise UserError(f"{options.model} was trained on {data}, which is not here: name a folder with --data.")
    check_dictionaries(options.model, data)
    state["cfg"]["task"]["data"] = str(data)
    build(options.model, state)
    write_checkpoint(state, output)
    return output


def build(path: Path, state: dict[str, Any]) -> Any:
    """The model of a checkpoint, with its parameters: what fairseq-generate will do.

    Raises:
        UserError: a parameter is missing, unknown or of another shape.
    """
    from fairseq import tasks

    from nat_plugin.guards.checkpoints import misfit

    cfg = state["cfg"]
    model = tasks.setup_task(cfg.task, from_checkpoint=True).build_model(cfg.model)
    try:
        model.load_state_dict(state["model"], strict=True, model_cfg=cfg.model)
    except RuntimeError as error:
        raise (misfit(str(path), error) or error) from error
    return model


if __name__ == "__main__":
    run_main(main)
