#!/usr/bin/env python3
"""Reproduce tables and figures of the papers: train what is missing, translate, and set our figures beside theirs.

    scripts/reproduce.py --list
    scripts/reproduce.py axe_table2 --dry-run                     # every command, checked, and nothing done
    scripts/reproduce.py axe_table2 gu_kong_table4 --jobs 2       # Multi30k, tiny models; two steps side by side
    scripts/reproduce.py axe_table2 --data wmt14_en_de            # the paper's own data, size and budget
    scripts/reproduce.py axe_table2 fairseq.max_update=2000 teacher:fairseq.max_update=4000
    scripts/reproduce.py results --rows axe_table2,gu_kong_table4/kd_ctc --runs /big/disk/runs --seeds 1,2,3

A recipe is a file of configs/recipes; scripts/recipes/NAME.sh runs one. Data are prepared, a teacher is trained and
distils them, students are trained and translate the test set: each step once, however many recipes need it, and not
again while its result is there and younger than what it is made of. Killed at any point, the same command goes on.
Written to --output/DATA_SIZE are NAME.json, .md and .tsv, a picture of the table where the recipe describes one
(NAME.svg), and what the recipe's scripts draw. key=value words go to all trainings, SYSTEM:key=value words to those of
one system of configs/systems.yaml.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from nat_plugin.errors import UserError
from scripts.lib.analysis_options import check_least
from scripts.lib.cli import run_main, script_parser, shell
from scripts.lib.reproduce.catalogue import recipe_names
from scripts.lib.reproduce.job import Job, list_recipes


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: no recipe, an unknown one, or a number that is out of range.
    """
    parser = script_parser(__doc__)
    parser.add_argument(
        "words",
        nargs="*",
        metavar="NAME | key=value",
        help="recipes, and words for scripts/train.py; SYSTEM:key=value for one system's trainings",
    )
    parser.add_argument("--list", action="store_true", help="say which recipes there are, and stop")
    parser.add_argument(
        "--data",
        default="multi30k",
        help="a file of configs/data with or without its direction, a prepared folder, or a data set of the paper such "
        "as wmt14_en_de (default: multi30k)",
    )
    parser.add_argument("--direction", metavar="SRC_TGT", help="such as de_en (default: the recipe's)")
    parser.add_argument("--size", help="a file of configs/size (default: tiny; the paper's for its own data)")
    parser.add_argument("--budget", help="a file of configs/budget (default: cpu; the paper's for its own data)")
    parser.add_argument("--seeds", default="1", metavar="N,…", help="of the students (default: 1)")
    parser.add_argument(
        "--encoder-from",
        default="",
        metavar="SYSTEM",
        help="students begin with the encoder of a trained system, such as teacher, where theirs is like it; runs and "
        "tables are called _encoder (default: all begin at random, as in the papers)",
    )
    parser.add_argument("--rows", metavar="ROW,…", help="some rows only; of `results`, RECIPE or RECIPE/ROW")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="of all runs (default: runs)")
    parser.add_argument(
        "--output", type=Path, default=Path("results/recipes"), metavar="DIR", help="of tables (default: %(default)s)"
    )
    parser.add_argument(
        "--docs",
        type=Path,
        metavar="PAGE",
        help="put tables into this page too, where it has a block of the name",
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="steps side by side (default: 1)")
    parser.add_argument("--threads", type=int, metavar="N", help="of each step (default: a fair share of the cores)")
    parser.add_argument("--no-plot", action="store_true", help="draw no tables: pictures need matplotlib")
    parser.add_argument("--dry-run", action="store_true", help="print and check every command, and do nothing")
    options = parser.parse_intermixed_args(arguments)  # recipes come first, words for the trainings often last
    _divide_settings(options)
    options.names = [word for word in options.words if "=" not in word]
    if not options.names and not options.list:
        raise UserError(f"name a recipe: {', '.join(recipe_names())}.")
    unknown = [name for name in options.names if name not in recipe_names()]
    if unknown:
        raise UserError(f"there is no recipe '{unknown[0]}': choose some of {', '.join(recipe_names())}.")
    check_least(options, {"jobs": 1, "threads": 1})
    options.seeds = _seeds(options.seeds)
    options.rows = [row for row in options.rows.split(",") if row] if options.rows is not None else None
    return options


def _divide_settings(options: argparse.Namespace) -> None:
    """Words for all trainings, and those for one system's."""
    options.settings, options.own_settings = [], {}
    for word in options.words:
        if own := re.fullmatch(r"(\w+):([^=]+=.*)", word):
            options.own_settings.setdefault(own[1], []).append(own[2])
        elif "=" in word:
            options.settings.append(word)


def _seeds(text: str) -> list[int]:
    if not all(part.isdigit() and int(part) for part in text.split(",")):
        raise UserError(f"--seeds {text}: give whole numbers from 1, divided by commas.")
    return sorted({int(part) for part in text.split(",")})


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    if options.list:
        print(list_recipes())
        return
    command = shell(["scripts/reproduce.py", *(sys.argv[1:] if arguments is None else arguments)])
    job = Job(options, command)
    job.check()
    if options.dry_run:
        job.show()
    else:
        job.run()


if __name__ == "__main__":
    run_main(main)
