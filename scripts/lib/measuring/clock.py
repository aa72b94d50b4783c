"""The choice of a clock on the command line."""

from __future__ import annotations

import argparse

from nat_plugin.errors import UserError
from scripts.lib.measuring.timing import CLOCKS


def add_clock(parser: argparse.ArgumentParser) -> None:
    """The option ``--clock``."""
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="cpu counts only the time that this process was at work: for one thread on a machine that others use too "
        "(default: wall)",
    )


def check_clock(options: argparse.Namespace) -> str:
    """The clock asked for.

    Raises:
        UserError: the CPU's clock for several threads, whose times it would add up, or for a GPU, which it cannot see.
    """
    if options.clock == "cpu" and (options.threads > 1 or options.device == "cuda"):
        raise UserError("--clock cpu measures one thread on a CPU: use --clock wall, or --threads 1 and --device cpu.")
    clock: str = options.clock
    return clock
