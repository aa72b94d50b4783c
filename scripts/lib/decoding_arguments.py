"""Flags of scripts that translate with trained runs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from nat_plugin.errors import UserError
from scripts.lib.generation import flag_key


def add_decoding(parser: argparse.ArgumentParser) -> None:
    """What is translated with: data, checkpoint, decoding flags, a search's winner, threads."""
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="data directory (default: the one that trained the run)"
    )
    add_checkpoint(parser)
    add_overrides(parser, "decoding flags that win over the run's, such as length_multiplier=1.05 or deduplicate=true")
    parser.add_argument(
        "--tuned",
        type=Path,
        metavar="FILE",
        help="RUN/results/tune_….json to decode by, or none (default: tuned.json)",
    )
    parser.add_argument("--threads", type=int, help="processor threads (default: OMP_NUM_THREADS, else all processors)")


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """``--checkpoint``, as :meth:`scripts.lib.trained_model.TrainedModel.checkpoint` reads it."""
    parser.add_argument(
        "--checkpoint", help="file in RUN/checkpoints, or a path (default: averaged.pt, else the best, else the last)"
    )


def add_overrides(parser: argparse.ArgumentParser, purpose: str) -> None:
    """``--set KEY=VALUE…``, for :func:`parse_overrides`."""
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help=purpose,
    )


def parse_overrides(pairs: Sequence[str]) -> dict[str, Any]:
    """What --set says.

    Raises:
        UserError: a pair is no key=value, or its value cannot be read.
    """
    overrides: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z][\w-]*", key):
            raise UserError(f"--set {pair} is no KEY=VALUE: write for example --set iterations=10, after the runs.")
        try:
            overrides[flag_key(key)] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"--set {pair} has a value that cannot be read: quote it.") from error
    return overrides
