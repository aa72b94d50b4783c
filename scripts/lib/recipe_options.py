"""What the recipes share that train several systems and compare them: their command line, and steps done once."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from nat_plugin.errors import UserError
from scripts.lib import steps
from scripts.lib.results import Row
from scripts.lib.runs import Run


def recipe_parser(
    doc: str | None, *, data: str, systems: Mapping[str, object], kind: str, output: str
) -> argparse.ArgumentParser:
    """A parser with the options of every recipe.

    Args:
        doc: of the script; what follows its first paragraph is shown last.
        data: the default of --data.
        systems: what can be trained, by the names that the user types.
        kind: what these names are, such as "methods": the name of their option.
        output: the default of --output.
    """
    description, _, epilog = (doc or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="*", metavar="key=value", help="for scripts/train.py, all systems alike")
    parser.add_argument("--data", default=data, help=f"a file in configs/data, or a prepared folder (default: {data})")
    parser.add_argument("--size", default="tiny", help="a file in configs/size (default: tiny)")
    parser.add_argument("--budget", default="cpu", help="a file in configs/budget (default: cpu)")
    parser.add_argument(f"--{kind}", default=",".join(systems), help=f"some of {', '.join(systems)} (default: all)")
    parser.add_argument("--output", type=Path, default=Path(output), metavar="FILE", help="default: %(default)s")
    parser.add_argument("--threads", type=int, help="processor threads of each step (default: 1)")
    parser.add_argument("--no-plot", action="store_true", help="do without plots, and so without matplotlib")
    return parser


def check_recipe(options: argparse.Namespace, systems: Mapping[str, object], kind: str) -> list[str]:
    """The systems that are asked for, in the user's order.

    Args:
        options: of :func:`recipe_parser`, with the same ``systems`` and ``kind``.

    Raises:
        UserError: an unknown system, or none; --threads is none; or --output has another ending.
    """
    chosen = [name for name in getattr(options, kind).split(",") if name]
    unknown = [name for name in chosen if name not in systems]
    if unknown or not chosen:
        raise UserError(f"--{kind} names '{','.join(unknown)}': choose some of {', '.join(systems)}.")
    if options.threads is not None and options.threads < 1:
        raise UserError(f"--threads must be at least 1, not {options.threads}.")
    if options.output.suffix != ".json":
        raise UserError(f"--output {options.output} must end in .json: curves and plot get their names from it.")
    return chosen


def training_words(options: argparse.Namespace, *words: str) -> list[str]:
    """What scripts/train.py is told: data, size and budget, then ``words``, then the user's settings."""
    chosen = {"data": options.data, "size": options.size, "budget": options.budget}
    return [*(f"{key}={value}" for key, value in chosen.items()), *words, *options.settings]


def once(run: Run, result: str, command: Sequence[str], threads: int | None) -> None:
    """Run a script that writes RUN/results/``result``, unless that is there and younger than the checkpoint."""
    path = run.folder / "results" / result
    if path.is_file() and path.stat().st_mtime >= run.chosen_checkpoint().stat().st_mtime:
        print(f"{path} is there already, made of this checkpoint")
        return
    steps.run(*command, threads=threads)


def read_row(run: Run, name: str) -> Row:
    """The one row of a file in RUN/results."""
    path = run.folder / "results" / name
    [row] = json.loads(path.read_text(encoding="utf-8"))
    return dict(row)
