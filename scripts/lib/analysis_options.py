"""What the scripts share that analyse trained runs: their command line, and the file of rows that they add to."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

from nat_plugin.errors import UserError
from scripts.lib.cli import script_parser
from scripts.lib.decoding_arguments import add_checkpoint
from scripts.lib.results import Row, read_rows


def analysis_parser(
    doc: str | None, *, split: str, read_to: str, max_tokens: int, written: str, with_plot: bool = True
) -> argparse.ArgumentParser:
    """A parser with the options of every analysis.

    Args:
        doc: of the script; what follows its first paragraph is shown last.
        split: the default of --split.
        read_to: what is done with the split, such as "translate".
        max_tokens: the default of --max-tokens.
        written: what the help of --output says after that, of what is written beside it.
        with_plot: whether there are plots that --no-plot can do without.
    """
    parser = script_parser(doc)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directories or checkpoints")
    parser.add_argument("--split", default=split, help=f"which part of the data to {read_to} (default: {split})")
    parser.add_argument("--data", type=Path, metavar="DIR", help="data directory (default: each run's own)")
    add_checkpoint(parser)
    parser.add_argument(
        "--max-tokens", type=int, default=max_tokens, metavar="N", help=f"of a batch (default: {max_tokens})"
    )
    parser.add_argument("--name", help="what to call the system in the results (one run only)")
    parser.add_argument("--threads", type=int, help="processor threads (default: OMP_NUM_THREADS, else all processors)")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help=f"a .json to update with a row for each run{written}"
    )
    if with_plot:
        parser.add_argument("--no-plot", action="store_true", help="do without plots, and so without matplotlib")
    return parser


def check_options(options: argparse.Namespace, least: Mapping[str, int], named_after_output: str) -> None:
    """What every analysis asks of its options.

    Args:
        options: of :func:`analysis_parser`.
        least: the smallest value of further options; --max-tokens and --threads have 1.
        named_after_output: what gets its name from --output.

    Raises:
        UserError: a number is out of range, one name for several runs, or --output has another ending.
    """
    if options.name and len(options.runs) > 1:
        raise UserError("--name names one system: analyse the runs one at a time, or drop it.")
    check_least(options, {**least, "max_tokens": 1, "threads": 1})
    check_json(options.output, named_after_output)


def check_least(options: argparse.Namespace, least: Mapping[str, int]) -> None:
    """Refuse numbers that are too small; an option that was not given is None and passes.

    Raises:
        UserError: one is below its ``least``.
    """
    for name, smallest in least.items():
        value = getattr(options, name)
        if value is not None and value < smallest:
            raise UserError(f"--{name.replace('_', '-')} must be at least {smallest}, not {value}.")


def check_json(output: Path | None, named_after_it: str = "") -> None:
    """Refuse an --output of another kind.

    Args:
        named_after_it: what gets its name from --output.

    Raises:
        UserError: it has another ending.
    """
    if output and output.suffix != ".json":
        why = f": {named_after_it} from it" if named_after_it else ""
        raise UserError(f"--output {output} must end in .json{why}.")


def check_names(options: argparse.Namespace, names: Iterable[str]) -> None:
    """Refuse two systems of one name where each is to have a row of its own.

    Raises:
        UserError: there are such.
    """
    listed = list(names)
    if options.output and len(set(listed)) < len(listed):
        raise UserError(
            "two runs have one name, and --output needs a row for each: analyse them one by one with --name."
        )


def read_own_rows(path: Path, *keys: str) -> list[Row]:
    """The rows of a file that the same script wrote; none if there is no such file.

    Args:
        keys: what all of its rows have.

    Raises:
        UserError: the file is something else.
    """
    found = read_rows(path)
    if not all(key in row for row in found for key in keys):
        raise UserError(f"--output {path} holds results of another script: name another file.")
    return found
