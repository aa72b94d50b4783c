"""What the benchmarks of translation share on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from nat_plugin.errors import UserError
from scripts.lib.cli import script_parser
from scripts.lib.measuring.clock import add_clock

ROOT = Path(__file__).resolve().parents[1]


def inference_parser(doc: str | None, *, sentences: int, threads: int, output: Path) -> argparse.ArgumentParser:
    """A parser with the options of every benchmark of translation.

    Args:
        doc: of the benchmark; what follows its first paragraph is shown last.
        sentences, threads: the defaults of --sentences and --threads.
        output: where the results go by default.
    """
    parser = script_parser(doc)
    parser.add_argument("--vocabulary", type=int, default=32000, metavar="V", help="default: 32000")
    parser.add_argument("--length", type=int, default=25, help="tokens of sources and translations (default: 25)")
    parser.add_argument("--repeats", type=int, default=7, help="of each system in each part (default: 7)")
    parser.add_argument("--block", type=int, default=5, help="L1: sentences in a repeat (default: 5)")
    parser.add_argument(
        "--sentences", type=int, default=sentences, help=f"Lmax: sentences in a repeat (default: {sentences})"
    )
    parser.add_argument("--threads", type=int, default=threads, help=f"default: {threads}")
    add_clock(parser)
    parser.add_argument("--quick", action="store_true", help="a tiny model; saved only with --output")
    parser.add_argument("--output", type=Path, help=f"default: {output.relative_to(ROOT)}")
    parser.add_argument("--docs", type=Path, metavar="PAGE", help="put the table into this page's marked block")
    return parser


def settle(options: argparse.Namespace, output: Path) -> None:
    """Fill in what --quick changes, and the default of --output.

    Raises:
        UserError: a number is out of range.
    """
    if options.quick:
        options.vocabulary, options.length, options.repeats = 60, 6, min(options.repeats, 2)
        options.block, options.sentences = 2, 8
    elif options.output is None:
        options.output = output
    if min(options.length, options.repeats, options.block, options.sentences, options.threads) < 1:
        raise UserError("--length, --repeats, --block, --sentences and --threads must be at least 1.")
