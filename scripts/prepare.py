#!/usr/bin/env python3
"""Prepare parallel text for training: normalise, tokenise, split into subwords, binarise.

    scripts/prepare.py multi30k_en_de
    scripts/prepare.py wmt14_en_de --dry-run
    scripts/prepare.py --name mydata --source-lang en --target-lang de \\
        --train a.en a.de --valid b.en b.de --test c.en c.de --test-references c.de.second

The files may be gzipped. The result is one folder (data-bin/NAME) with the binarised data, the text at every step, and
prepare.json. What is already there and still holds is not done again; changed inputs or options redo what depends on
them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from tabulate import tabulate

from nat_plugin.processors import cores
from scripts.lib.cli import run_main, script_parser, shell
from scripts.lib.downloads import Download, fetch
from scripts.lib.generation import displayed_path
from scripts.lib.noisy_pairs import DEFAULTS as NOISE_LIMITS
from scripts.lib.preparation.job import Job
from scripts.lib.preparation.make import make
from scripts.lib.preparation.plan import plan, shown_command, store
from scripts.lib.preparation.request import resolve
from scripts.lib.preparation.sizes import describe
from scripts.lib.recipes import RECIPES
from scripts.lib.stages import Stage
from scripts.lib.subwords import SUBWORDS
from scripts.lib.text import ROMANIAN_KINDS, TOKENIZERS


def parser() -> argparse.ArgumentParser:
    """The command line."""
    main_parser = script_parser(__doc__)
    main_parser.add_argument("recipe", nargs="?", metavar="RECIPE", help=f"a known data set: {', '.join(RECIPES)}")
    main_parser.add_argument(
        "--raw", type=Path, metavar="DIR", help="take the recipe's files from DIR, download nothing"
    )
    main_parser.add_argument("--output", type=Path, metavar="DIR", help="the folder to write (default: data-bin/NAME)")
    main_parser.add_argument("--workers", type=_at_least_1, default=cores(), help="processes (default: all cores)")
    main_parser.add_argument("--dry-run", action="store_true", help="print every step, and do nothing")

    main_parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse archives that are not the published ones, and sizes that are not those that the papers state "
        "(default: say so and go on)",
    )

    own = main_parser.add_argument_group("files of your own")
    own.add_argument("--name", help="name of the data set")
    own.add_argument("--source-lang", metavar="LANG", help="language code of the source side, as in 'en'")
    own.add_argument("--target-lang", metavar="LANG", help="language code of the target side")
    for split, needed in (("train", ""), ("valid", ""), ("test", ", may be left out")):
        own.add_argument(
            f"--{split}",
            nargs=2,
            type=Path,
            metavar=("SOURCE", "TARGET"),
            help=f"the two files of the {split} set{needed}",
        )
    own.add_argument(
        "--test-references", nargs="+", type=Path, metavar="FILE", help="further references of the test set"
    )

    text = main_parser.add_argument_group("text")
    text.add_argument(
        "--tokenizer",
        nargs="+",
        metavar="[LANG=]KIND",
        help=f"one of {', '.join(TOKENIZERS)}, for both languages or for one (default: moses for the languages that "
        "sacremoses knows, none for others: such text has to be split into words already)",
    )
    _switch(text, "--normalise-punctuation", "Moses's punctuation normalisation, before its tokeniser (default: yes)")
    _switch(text, "--lowercase", "everything in lower case, after tokenising (default: no)")
    text.add_argument(
        "--romanian",
        choices=ROMANIAN_KINDS,
        help="ș and ț with a comma for those with a cedilla, or plain letters for all with diacritics (default: as-is)",
    )
    text.add_argument(
        "--replace-invalid-utf8", action="store_true", default=None, help="go on where a line is not UTF-8"
    )

    units = main_parser.add_argument_group("subwords and dictionary")
    units.add_argument("--subword", choices=SUBWORDS, help="default: bpe (subword-nmt); none is word level")
    units.add_argument("--bpe-merges", type=_at_least_1, metavar="N", help="merge operations (default: 32000)")
    units.add_argument("--vocab-size", type=_at_least_1, metavar="N", help="pieces of sentencepiece (default: 32000)")
    _switch(units, "--separate-subwords", "learn the subwords of each language by itself (default: no)")
    joined = units.add_mutually_exclusive_group()
    joined.add_argument(
        "--joined-dictionary",
        action="store_true",
        default=None,
        help="one dictionary for both languages (default where subwords are learnt together)",
    )
    joined.add_argument(
        "--separate-dictionaries", dest="joined_dictionary", action="store_false", help="a dictionary for each language"
    )
    units.add_argument(
        "--min-count", type=_at_least_1, metavar="N", help="rarer tokens become <unk> (default: keep all)"
    )

    cleaning = main_parser.add_argument_group("which pairs are left out (never of the test set)")
    cleaning.add_argument(
        "--max-tokens",
        type=_at_least_1,
        metavar="N",
        help="longest side of a training or validation pair (default: 175)",
    )
    _switch(cleaning, "--count-words", "lengths of sides are numbers of words, not of subwords (default: no)")
    cleaning.add_argument("--max-ratio", type=_ratio, metavar="X", help="longer side / shorter side (default: any)")
    cleaning.add_argument(
        "--drop-duplicates",
        action="store_true",
        default=None,
        help="keep the first of equal training pairs (default: all)",
    )
    cleaning.add_argument(
        "--max-test-tokens", type=_at_least_1, metavar="N", help="refuse a test set with a longer side (default: 1000)"
    )
    limits = ", ".join(f"{rule}={limit:g}" for rule, limit in NOISE_LIMITS.items())
    cleaning.add_argument(
        "--filter-noise",
        nargs="*",
        metavar="RULE=LIMIT",
        help="leave out training pairs that break a rule, before anything is learnt from them; alone with the limits "
        f"{limits}; RULE=off leaves a rule out, off alone all of a recipe's",
    )
    return main_parser


def _switch(group: Any, flag: str, text: str) -> None:
    group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)


def _at_least_1(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def _ratio(text: str) -> float:
    ratio = float(text)
    if not ratio >= 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1: every pair would be left out")
    return ratio


def print_steps(job: Job, stages: Sequence[Stage], missing: Mapping[Path, Download]) -> None:
    """What would be done, for ``--dry-run``."""
    for path, download in missing.items():
        known = [f"{download.size / 1e6:,.1f} MB" if download.size else "size not published"]
        known.append(download.checksum or "no published checksum: held to its first download")
        known += [f"or from {mirror}" for mirror in download.mirrors]
        print(f"fetch {' '.join(download.urls)} to {displayed_path(path)} ({', '.join(known)})")
    done = store(job)
    for stage in stages:
        print(f"{stage.describe}{' (done already)' if done.is_done(stage) else ''}")
    for size in job.sizes:
        print(describe(size))
    print(shell(shown_command(job)))


def print_summary(record: Mapping[str, Any], output: Path) -> None:
    """A table of the splits, and what was left out or changed."""
    source, target = record["source_lang"], record["target_lang"]
    rows = []
    for split, count in record["counts"].items():
        row: list[Any] = [split, count["kept"], sum(count["dropped"].values())]
        for language in (source, target):
            tokens, unknown = count["tokens"][language], count["unknown"][language]
            row += [tokens, count["types"][language], f"{unknown / tokens:.2%}"]
        rows.append(row)
    sides = [f"{what} {language}" for language in (source, target) for what in ("tokens", "types", "unk")]
    print(tabulate(rows, headers=["split", "sentences", "dropped", *sides]))
    for split, count in record["counts"].items():
        for reason, number in count["dropped"].items():
            first = ", ".join(map(str, count["first_dropped"][reason]))
            print(f"{split}: {number} dropped, {reason} (lines {first}{', …' if number > 5 else ''})")
        for reason, number in count["changed"].items():
            print(f"{split}: {number} lines, {reason}")
        _print_assembled(split, count.get("assembled"))
    for size in record["sizes"]:
        as_stated = f"{size['split']}: {size['found']:,} pairs are as stated ({size['stated_by']})"
        print(f"note: {size['off']}." if size["off"] else as_stated)
    sizes = " and ".join(f"{size} ({language})" for language, size in record["dictionary"].items())
    print(f"dictionary entries: {sizes}\nwritten: {output}\nnext: scripts/train.py data={output} method=teacher")


def _print_assembled(split: str, assembled: Mapping[str, Any] | None) -> None:
    """What a split was put together from."""
    if assembled is None:
        return
    for text, pairs in assembled["texts"].items():
        print(f"{split}: {pairs} pairs of {text}")
    for reason, number in assembled["changed"].items():
        print(f"{split}: {number} lines, {reason}")
    if assembled["noise"]:
        listed = ", ".join(f"{rule} {number}" for rule, number in assembled["noise"].items())
        print(f"{split}: {sum(assembled['noise'].values())} of {assembled['read']} pairs were noise ({listed})")


def main(command_line: Sequence[str] | None = None) -> None:
    """Run ``command_line``, by default this process's own.

    Raises:
        UserError: bad input.
    """
    command_line = sys.argv[1:] if command_line is None else command_line
    arguments = parser().parse_args(command_line)
    job, missing = resolve(arguments)
    if arguments.dry_run:
        print_steps(job, plan(job), missing)
        return
    if missing:
        for path, download in missing.items():
            fetch(download, path)
        job, _ = resolve(arguments)
    print_summary(make(job, plan(job), shell(["scripts/prepare.py", *command_line])), job.output)


if __name__ == "__main__":
    run_main(main)
