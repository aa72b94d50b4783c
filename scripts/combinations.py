#!/usr/bin/env python3
"""Train and score the combinations of Gu & Kong 2021, Table 4: KD × AXE/CTC × VAE × random masks/glancing.

    scripts/combinations.py                                          all fifteen rows, tiny, on Multi30k
    scripts/combinations.py "KD + CTC" "KD + CTC + GLAT" --updates 5000
    scripts/combinations.py --data wmt14_en_de --size base --set budget=paper

The data directory and that of the distilled text have to be there: scripts/prepare.py, a teacher, scripts/distill.py.
Each row is trained, translated and scored by the scripts that the README shows, and each command is printed; so is the
same model before its training. What an earlier, stopped run has finished is not done again. It fails where a row's
validation loss has not fallen, or its BLEU is not above the untrained model's by the row's margin (which holds for the
defaults: --no-check for other settings).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from tabulate import tabulate

from nat_plugin.errors import UserError
from nat_plugin.processors import cores
from scripts.lib.cli import run_main, script_parser
from scripts.lib.combinations import Combination, find
from scripts.lib.results import Row, read_rows, update_rows
from scripts.lib.runs import Run
from scripts.lib.steps import run_together, step
from scripts.lib.training_log import read_curves

RUNS = Path("runs")
SPLIT = "test"
# So short a training is not averaged: half of what there is to average is of its beginning.
SETTINGS = (
    *("budget=cpu", "batch_tokens=512", "fairseq.lr=1e-3", "fairseq.warmup_updates=200"),
    *("fairseq.validate_interval_updates=200", "average.kind=none"),
)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = script_parser(__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help='such as "KD + CTC" (default: all)')
    parser.add_argument("--data", default="multi30k_en_de", help="configuration of the raw text; …_kd is the distilled")
    parser.add_argument("--size", default="tiny", help="default: tiny")
    parser.add_argument("--updates", type=int, default=600, help="default: 600")
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help=f"words for scripts/train.py (default: {' '.join(SETTINGS)})",
    )
    parser.add_argument("--at-once", type=int, default=cores(), metavar="N", help="trainings (default: one a core)")
    parser.add_argument("--no-check", dest="check", action="store_false", help="measure only")
    parser.add_argument("--output", type=Path, default=Path("results/combinations.json"), help="file of rows to update")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    rows = find(options.rows)
    if options.updates < 2 or options.at_once < 1:
        raise UserError("--updates must be at least 2 and --at-once at least 1.")
    read_rows(options.output)  # a file that cannot be updated is refused before the work, not after
    with step("the models before their training"):
        work({untrained(row, options): untrained_words(row, options) for row in rows}, options.at_once)
    with step(f"{len(rows)} rows, {options.updates} updates each"):
        work({trained(row, options): train_words(row, options) for row in rows}, options.at_once)
    measured = [describe(row, options) for row in rows]
    update_rows(options.output, measured)
    print("\n" + show(measured))
    print(f"\nThe rows are in {options.output}.")
    if options.check:
        check(rows, measured)


def trained(row: Combination, options: argparse.Namespace) -> str:
    """Name of the run below runs/."""
    return f"{row.data(options.data)}/{row.method}_{options.size}_{options.updates}"


def untrained(row: Combination, options: argparse.Namespace) -> str:
    return f"{options.data}/{row.method}_{options.size}_untrained"


def train_words(row: Combination, options: argparse.Namespace) -> list[str]:
    """What scripts/train.py is asked for."""
    return _words(row.data(options.data), row.method, options, options.updates)


def untrained_words(row: Combination, options: argparse.Namespace) -> list[str]:
    """The same for a model of one update, which has the warm-up's first learning rate of 1e-7."""
    return _words(options.data, row.method, options, 1)


def _words(data: str, method: str, options: argparse.Namespace, updates: int) -> list[str]:
    choices = [f"data={data}", f"method={method}", f"size={options.size}"]
    return [*choices, *(options.settings or SETTINGS), f"fairseq.max_update={updates}"]


def work(runs: dict[str, list[str]], at_once: int) -> None:
    """Train, translate and score what is not yet, ``at_once`` runs at a time."""
    names_of_all = list(runs)
    for first in range(0, len(names_of_all), at_once):
        names = names_of_all[first : first + at_once]
        together([["train.py", *runs[name], f"name={name}"] for name in names])
        left = [name for name in names if not is_scored(Run(RUNS / name))]
        together([["evaluate.py", str(RUNS / name), "--split", SPLIT] for name in left])


def together(commands: list[list[str]]) -> None:
    run_together(commands, max(len(commands), cores()))


def is_scored(run: Run) -> bool:
    scores = scores_file(run)
    return scores.is_file() and scores.stat().st_mtime > run.chosen_checkpoint().stat().st_mtime


def scores_file(run: Run) -> Path:
    return run.folder / "results" / f"{SPLIT}.json"


def describe(row: Combination, options: argparse.Namespace) -> Row:
    """The row of evaluate.py, with the paper's figure, the untrained model's and the course of the training."""
    done, before = Run(RUNS / trained(row, options)), Run(RUNS / untrained(row, options))
    losses = list(read_curves(done.log_file).validation.values())
    return {
        **read_rows(scores_file(done))[0],
        "system": row.techniques,
        "paper_bleu": row.paper_bleu,
        "untrained_bleu": read_rows(scores_file(before))[0]["bleu"],
        "updates": options.updates,
        "first_validation_loss": losses[0],
        "last_validation_loss": losses[-1],
        "training": train_words(row, options),
    }


def show(rows: Sequence[Row]) -> str:
    """The table for people."""
    body = [
        [
            row["system"],
            f"{row['paper_bleu']:.2f}",
            f"{row['bleu']:.2f}",
            f"{row['untrained_bleu']:.2f}",
            f"{row['first_validation_loss']:.3f} → {row['last_validation_loss']:.3f}",
            f"{row['repeated_tokens']:.2%}",
            f"{row['empty_outputs']:.2%}",
        ]
        for row in rows
    ]
    headers = ["techniques", "paper", "BLEU", "untrained", "validation loss", "repeated", "empty"]
    return tabulate(body, headers, colalign=("left", *("right",) * 6), disable_numparse=True)


def check(combinations: Sequence[Combination], rows: Sequence[Row]) -> None:
    """Whether each row has learned.

    Raises:
        UserError: one has not.
    """
    for combination, row in zip(combinations, rows, strict=True):
        gain = row["bleu"] - row["untrained_bleu"]
        if gain <= combination.margin:
            raise UserError(
                f"{combination.techniques} is {gain:.2f} BLEU above the untrained model, not more than "
                f"{combination.margin}: look for what broke it, or give --no-check if these are other settings."
            )
        if row["last_validation_loss"] >= row["first_validation_loss"]:
            raise UserError(
                f"{combination.techniques}: the validation loss has not fallen ({row['first_validation_loss']} → "
                f"{row['last_validation_loss']}): look into its train.log."
            )


if __name__ == "__main__":
    run_main(main)
