#!/usr/bin/env python3
"""Haviv et al. 2021, the whole argument: latent alignments do not go with teacher forcing.

    scripts/recipes/latent_alignment_at.py                                               # Multi30k De→En, tiny, CPU
    scripts/recipes/latent_alignment_at.py --data multi30k_de_en --size small --budget gpu
    scripts/recipes/latent_alignment_at.py --data data-bin/iwslt14_de_en --size iwslt --budget iwslt     # the paper's
    scripts/recipes/latent_alignment_at.py --data generated --size demo --budget demo fairseq.max_update=600

Trains the same autoregressive transformer with cross entropy, AXE, causal AXE, and CTC with doubled predictions, each
with early stopping; translates the test set; and counts the alignments of the validation set. The same command again
goes on where it stopped. Written are FILE.json (a row for each loss: BLEU, share of empty outputs, alignments),
FILE.curves.tsv and FILE.svg (Figure 2: how the training and validation losses fall), and FILE.alignments.json.
key=value words go to scripts/train.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from nat_plugin.files import atomic_write, write_json
from scripts.lib import steps
from scripts.lib.alignments import curves
from scripts.lib.cli import run_main, shell
from scripts.lib.config import compose_run
from scripts.lib.pictures import load_pyplot
from scripts.lib.recipe_options import check_recipe, recipe_parser, training_words
from scripts.lib.results import Row
from scripts.lib.runs import Run
from scripts.lib.training_facts import training_facts
from scripts.lib.training_log import Curves, read_curves

SYSTEMS = {
    "at_ce": "cross entropy",
    "at_axe": "AXE",
    "at_causal_axe": "causal AXE",
    "at_ctc_doubled": "CTC, doubled predictions",
}
_GAMED = {"at_axe", "at_ctc_doubled"}
"""Shown on purpose: their criterions need not warn of it here."""
_OF_TEST = ("bleu", "empty_outputs", "length_ratio", "signature", "decoding", "data", "checkpoint", "device")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: see :func:`check_recipe`.
    """
    parser = recipe_parser(
        __doc__, data="multi30k_de_en", systems=SYSTEMS, kind="methods", output="results/latent_alignment_at.json"
    )
    options = parser.parse_args(arguments)
    options.methods = check_recipe(options, SYSTEMS, "methods")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    if not options.no_plot:
        load_pyplot()
    choices = {method: words_of(method, options) for method in options.methods}
    runs = {method: Run(Path(compose_run(words)["run"])) for method, words in choices.items()}
    for method, words in choices.items():
        with steps.step(f"{SYSTEMS[method]}: training"):
            steps.run("train.py", *words, threads=options.threads)
        with steps.step(f"{SYSTEMS[method]}: translation of the test set"):
            steps.once(
                runs[method], "test.json", ["evaluate.py", str(runs[method].folder), "--tuned", "none"], options.threads
            )
        with steps.step(f"{SYSTEMS[method]}: alignments of the validation set"):
            plot = ["--no-plot"] if options.no_plot else []
            steps.once(
                runs[method],
                "alignments_valid.json",
                ["analyse_alignments.py", str(runs[method].folder), *plot],
                options.threads,
            )
    report(
        runs,
        options,
        shell(["scripts/recipes/latent_alignment_at.py", *(sys.argv[1:] if arguments is None else arguments)]),
    )


def words_of(method: str, options: argparse.Namespace) -> list[str]:
    """What scripts/train.py is told."""
    expected = ["fairseq.expect_degeneration=true"] if method in _GAMED else []
    return training_words(options, f"method={method}", *expected)


def report(runs: dict[str, Run], options: argparse.Namespace, command: str) -> None:
    """Gather what the steps left in the run folders, write it, and print it."""
    losses = {SYSTEMS[method]: read_curves(run.log_file) for method, run in runs.items()}
    alignments = [steps.read_row(run, "alignments_valid.json") | {"system": SYSTEMS[m]} for m, run in runs.items()]
    rows = [
        make_row(SYSTEMS[method], run, found, losses[SYSTEMS[method]], command)
        for (method, run), found in zip(runs.items(), alignments, strict=True)
    ]
    write_json(options.output, rows)
    write_json(options.output.with_suffix(".alignments.json"), alignments)
    with atomic_write(options.output.with_suffix(".curves.tsv")) as handle:
        handle.write(curves.tsv(losses))
    if not options.no_plot:
        floor = alignments[0]["sentences"] / alignments[0]["targets"]
        curves.plot(losses, floor, options.output.with_suffix(".svg"))
    print(f"\n{curves.table(rows)}")
    for row in rows:
        print(f"{row['system']}: {row['signature']}")
    print(f"rows, alignments, curves and plot are in {options.output.with_suffix('')}.*")


def make_row(system: str, run: Run, alignments: Row, losses: Curves, command: str) -> Row:
    """What stands in the table for one loss."""
    test = steps.read_row(run, "test.json")
    return {
        "system": system,
        **{key: test[key] for key in _OF_TEST},
        **training_facts(run.log_file),
        "training_loss": list(losses.training.values())[-1] if losses.training else None,
        "floor": 2 * alignments["sentences"] / alignments["targets"],
        **{key: alignments[key] for key in ("trivial", "constant", "own_input", "operators", "last_prediction")},
        "patterns": alignments["patterns"][:3],
        "alignment_signature": alignments["signature"],
        "commands": {
            "recipe": command,
            "translation": test["command"],
            "alignments": alignments["command"],
        },
    }


if __name__ == "__main__":
    run_main(main)
