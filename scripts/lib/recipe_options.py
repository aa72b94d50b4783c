"""What the recipes share that train several systems and compare them: their command line."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from nat_plugin.errors import UserError
from scripts.lib.analysis_options import check_json, check_least
from scripts.lib.cli import script_parser

_RUNS = Path("runs")  # where scripts/train.py puts them


def recipe_parser(
    doc: str | None,
    *,
    data: str,
    systems: Mapping[str, object],
    kind: str,
    output: str,
    default: str = "all",
    plots: bool = True,
) -> argparse.ArgumentParser:
    """A parser with the options of every recipe.

    Args:
        doc: of the script; what follows its first paragraph is shown last.
        data: the default of --data.
        systems: what can be trained, by the names that the user types.
        kind: what these names are, such as "methods": the name of their option.
        output: the default of --output.
        default: which of the systems are trained unless the user says so.
        plots: whether there are any to do without.
    """
    parser = script_parser(doc)
    parser.add_argument("settings", nargs="*", metavar="key=value", help="for scripts/train.py, all systems alike")
    parser.add_argument("--data", default=data, help=f"a file in configs/data, or a prepared folder (default: {data})")
    parser.add_argument("--size", default="tiny", help="a file in configs/size (default: tiny)")
    parser.add_argument("--budget", default="cpu", help="a file in configs/budget (default: cpu)")
    parser.add_argument(
        f"--{kind}", default=default, help=f"all, or some of {', '.join(systems)} (default: %(default)s)"
    )
    parser.add_argument("--output", type=Path, default=Path(output), metavar="FILE", help="default: %(default)s")
    parser.add_argument("--runs", type=Path, default=_RUNS, metavar="DIR", help="of all runs (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="processor threads of each step (default: OMP_NUM_THREADS, else 1)")
    if plots:
        parser.add_argument("--no-plot", action="store_true", help="do without plots, and so without matplotlib")
    return parser


def check_recipe(options: argparse.Namespace, systems: Mapping[str, object], kind: str) -> list[str]:
    """The systems that are asked for, in the order of ``systems``.

    Args:
        options: of :func:`recipe_parser`, with the same ``systems`` and ``kind``.

    Raises:
        UserError: an unknown system, or none; --threads is none; or --output has another ending.
    """
    value = getattr(options, kind)
    named = list(systems) if value == "all" else [name for name in value.split(",") if name]
    unknown = [name for name in named if name not in systems]
    if unknown or not named:
        raise UserError(f"--{kind} names '{','.join(unknown)}': choose some of {', '.join(systems)}, or all.")
    check_least(options, {"threads": 1})
    check_json(options.output, "what lies beside it gets its name")
    return [name for name in systems if name in named]


def training_words(options: argparse.Namespace, *words: str) -> list[str]:
    """What scripts/train.py is told: data, size and budget, then ``words``, then the user's settings."""
    chosen = {"data": options.data, "size": options.size, "budget": options.budget}
    return [*(f"{key}={value}" for key, value in chosen.items()), *words, *run_words(options), *options.settings]


def distilled_folder(runs: Path, data: Path, name: str) -> Path:
    """Where distilled data lie: beside the data that were distilled, or with the runs where those lie elsewhere.

    Args:
        runs: of the teacher.
        data: what was distilled.
        name: of the distilled data.
    """
    return data.with_name(name) if runs == _RUNS else runs / "data-bin" / name


def run_words(options: argparse.Namespace) -> list[str]:
    """For scripts/train.py: runs lie in --runs, by the names that they always have."""
    return [] if options.runs == _RUNS else [f"run={options.runs}/${{name}}"]
