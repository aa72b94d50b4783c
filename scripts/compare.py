#!/usr/bin/env python3
"""Compare translations of one test set: paired bootstrap of BLEU, and BLEU by the length of the reference.

    scripts/compare.py RUN/results/test.json OTHER_RUN/results/test.json --output results/comparison.json
    scripts/compare.py baseline.de other.de --references test.de --buckets 8 12 16

The first is the baseline. A .json is a row that scripts/evaluate.py wrote into RUN/results: its translations lie beside
it and its references in its data directory. Anything else is a text, one detokenised sentence a line.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from tabulate import tabulate

from nat_plugin.errors import UserError
from nat_plugin.files import write_json
from scripts.lib.cli import run_main, script_parser
from scripts.lib.comparison import EDGES, SAMPLES, Bucket, Significance, by_reference_length, paired_bootstrap
from scripts.lib.generation import displayed_path
from scripts.lib.prepared_data import PreparedData, read_text
from scripts.lib.results import read_rows
from scripts.lib.scoring import default_tokenizer
from scripts.lib.trained_model import found_data


class System(NamedTuple):
    """Translations, and what is known of where they come from."""

    name: str
    lines: list[str]
    references: list[list[str]]
    """Empty for a text."""
    target_lang: str | None


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = script_parser(__doc__)
    parser.add_argument(
        "systems",
        nargs="+",
        type=Path,
        metavar="FILE|RUN",
        help="rows, runs (their RUN/results/test.json) or texts, the baseline first",
    )
    parser.add_argument(
        "--names", nargs="+", metavar="NAME", help="what to call them (default: as the row, or the file)"
    )
    parser.add_argument("--references", nargs="+", type=Path, metavar="FILE", help="default: those of the rows")
    parser.add_argument(
        "--tokenize", metavar="NAME", help="sacreBLEU's tokenizer (default: by the rows' language, or 13a)"
    )
    parser.add_argument(
        "--buckets", nargs="+", type=int, default=EDGES, metavar="N", help="lengths at which a bucket begins"
    )
    parser.add_argument(
        "--samples", type=int, default=SAMPLES, metavar="N", help=f"of the bootstrap (default: {SAMPLES})"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="JSON of both tables")
    return parser.parse_args(arguments)


def read_system(path: Path) -> System:
    """A row of scripts/evaluate.py with its translations, of a run that of its test set, or a text.

    Raises:
        UserError: a file is missing or is something else.
    """
    if path.is_dir():
        path = path / "results" / "test.json"
        if not path.is_file():
            raise UserError(f"there is no {path}: run scripts/evaluate.py first, or name a row or a text.")
    if path.suffix != ".json":
        return System(path.name, read_text(path), [], None)
    rows = read_rows(path)
    text = path.with_suffix(".hyp.txt")
    if len(rows) != 1 or not text.is_file() or not {"data", "split"} <= rows[0].keys():
        raise UserError(
            f"{path} is no row of scripts/evaluate.py with its translations beside it: name a file of RUN/results, or "
            "a text."
        )
    data = PreparedData.load(found_data(Path(rows[0]["data"]), path.parent.parent))
    return System(rows[0]["system"], read_text(text), data.references(rows[0]["split"]), data.target_lang)


def choose_references(systems: Sequence[System], files: Sequence[Path] | None) -> list[list[str]]:
    """What all systems are compared with: ``files``, or else the rows' own.

    Raises:
        UserError: there are none, or two rows are of different test sets.
    """
    if files:
        return [read_text(path) for path in files]
    known = [system for system in systems if system.references]
    if not known:
        raise UserError("texts need --references FILE: what the translations are compared with.")
    for system in known[1:]:
        if system.references != known[0].references:
            raise UserError(f"{known[0].name} and {system.name} are not of the same test set: compare rows of one.")
    return known[0].references


def name_systems(systems: Sequence[System], names: Sequence[str] | None) -> dict[str, list[str]]:
    """Name → translations.

    Raises:
        UserError: a name is missing or there twice.
    """
    names = names or [system.name for system in systems]
    if len(names) != len(systems) or len(set(names)) != len(names):
        raise UserError(f"--names must give each of the {len(systems)} systems a name of its own: {', '.join(names)}.")
    return {name: system.lines for name, system in zip(names, systems, strict=True)}


def significance_table(compared: Mapping[str, Significance]) -> str:
    body = [
        [
            name,
            f"{result.bleu:.2f}",
            f"{result.mean:.2f} ± {result.half_interval:.2f}",
            "" if result.p_value is None else f"{result.difference:+.2f}",
            "" if result.p_value is None else f"{result.p_value:.4f}",
        ]
        for name, result in compared.items()
    ]
    headers = ["system", "BLEU", "95 % interval", "difference", "p"]
    return tabulate(body, headers, colalign=("left", *("right",) * 4), disable_numparse=True)


def bucket_table(names: Sequence[str], buckets: Sequence[Bucket]) -> str:
    body = [
        [
            name,
            *(f"{bucket.bleu[place]:.2f} ({100 * bucket.repeated_tokens[place]:.1f} %)" for bucket in buckets),
        ]
        for place, name in enumerate(names)
    ]
    headers = ["BLEU (repeated words)", *(f"{bucket.name}: {bucket.sentences}" for bucket in buckets)]
    return tabulate(body, headers, colalign=("left", *("right",) * len(buckets)), disable_numparse=True)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    found = [read_system(path) for path in options.systems]
    references = choose_references(found, options.references)
    systems = name_systems(found, options.names)
    tokenizer = options.tokenize or default_tokenizer(next((s.target_lang for s in found if s.target_lang), None))
    buckets = by_reference_length(systems, references, options.buckets, tokenizer=tokenizer)
    compared, signature = paired_bootstrap(systems, references, tokenizer=tokenizer, samples=options.samples)
    print(significance_table(compared))
    print(f"{signature}; differences are from the first\n")
    print(bucket_table(list(systems), buckets))
    print("columns: words of the reference: sentences")
    if options.output:
        record = {
            "signature": signature,
            "systems": [
                {"system": name, "hypotheses": displayed_path(path), **asdict(result)}
                for path, (name, result) in zip(options.systems, compared.items(), strict=True)
            ],
            "by_reference_length": [asdict(bucket) for bucket in buckets],
        }
        write_json(options.output, record)


if __name__ == "__main__":
    run_main(main)
