#!/usr/bin/env python3
"""Guo et al. 2020: JM-NAT against the CMLM, its ablations, its repetitions, and its robustness to noise.

    scripts/recipes/jm_nat.py                                              # distilled Multi30k De→En, tiny, CPU
    scripts/recipes/jm_nat.py --systems cmlm,jm_nat batch_tokens=1024 fairseq.max_update=5000
    scripts/recipes/jm_nat.py --data data-bin/iwslt14_de_en_kd --size iwslt_small --budget iwslt      # the paper's

Trains every system with the same updates (the paper's Table 4: one setting of JM-NAT each), translates the test set in
1, 4 and 10 iterations with 3 length candidates, and disturbs the source of the validation set (Figure 3). The same
command again goes on where it stopped. Written are FILE.json (a row for each system and number of iterations: BLEU,
repetitions), and FILE.noise.json, .tsv and .svg. key=value words go to scripts/train.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from nat_plugin.files import write_json
from scripts.lib import steps
from scripts.lib.cli import run_main, shell
from scripts.lib.config import compose_run
from scripts.lib.pictures import load_pyplot
from scripts.lib.recipe_options import check_recipe, recipe_parser, training_words
from scripts.lib.results import Row, table
from scripts.lib.runs import Run
from scripts.lib.training_facts import training_facts


class System(NamedTuple):
    """One row of the paper's Table 4, or its baseline."""

    title: str
    method: str
    setting: str = ""
    """What it leaves out, as a word for scripts/train.py."""


SYSTEMS = {
    "cmlm": System("CMLM", "cmlm_ce"),
    "jm_nat": System("JM-NAT", "jm_nat"),
    "no_encoder_loss": System("JM-NAT without L_enc", "jm_nat", "fairseq.encoder_loss_factor=0"),
    "no_encoder_mask": System("JM-NAT without encoder mask & L_enc", "jm_nat", "fairseq.encoder_mask_prob=0"),
    "no_ngram_loss": System("JM-NAT without L_gram", "jm_nat", "fairseq.ngram_loss_factor=0"),
    "no_consecutive_mask": System("JM-NAT without consecutive mask", "jm_nat", "fairseq.decoder_mask_span=1"),
}
ITERATIONS = (1, 4, 10)
DISTURBED = ("cmlm", "jm_nat")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: see :func:`check_recipe`.
    """
    parser = recipe_parser(
        __doc__, data="multi30k_de_en_kd", systems=SYSTEMS, kind="systems", output="results/jm_nat.json"
    )
    parser.add_argument("--no-noise", action="store_true", help="do without the noise, which takes eleven translations")
    options = parser.parse_args(arguments)
    options.systems = check_recipe(options, SYSTEMS, "systems")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    if not options.no_plot:
        load_pyplot()
    runs: dict[str, Run] = {}
    for name in options.systems:
        words = words_of(name, options)
        runs[name] = Run(Path(compose_run(words)["run"]))
        with steps.step(f"{SYSTEMS[name].title}: training"):
            steps.run("train.py", *words, threads=options.threads)
        with steps.step(f"{SYSTEMS[name].title}: translation of the test set"):
            for iterations in ITERATIONS:
                translate(runs[name], iterations, options)
    disturbed = [name for name in DISTURBED if name in runs and not options.no_noise]
    if disturbed:
        with steps.step("the validation set under noise"):
            disturb([runs[name] for name in disturbed], options)
    command = shell(["scripts/recipes/jm_nat.py", *(sys.argv[1:] if arguments is None else arguments)])
    rows = [make_row(name, runs[name], iterations, command) for name in runs for iterations in ITERATIONS]
    write_json(options.output, rows)
    print(f"\n{table(rows)}")
    for row in rows:
        print(f"{row['system']}: {row['signature']}")
    print(f"the rows are in {options.output}")


def words_of(name: str, options: argparse.Namespace) -> list[str]:
    """What scripts/train.py is told; a run that is no method as it stands gets a name of its own."""
    system = SYSTEMS[name]
    words = training_words(options, f"method={system.method}")
    if not system.setting:
        return words
    folder = Path(compose_run(words)["run"])
    return [*words, system.setting, f"name={folder.parent.name}/{folder.name}_{name}"]


def translate(run: Run, iterations: int, options: argparse.Namespace) -> None:
    """The test set with so many iterations."""
    changes = decoding(iterations, options)
    suffix = ["--suffix", str(iterations), "--tuned", "none"]
    steps.once(run, result_file(iterations), ["evaluate.py", str(run.folder), *changes, *suffix], options.threads)


def decoding(iterations: int, options: argparse.Namespace) -> list[str]:
    """For all systems alike: §5.1.5's number of lengths (a CMLM's own configuration has five), and all iterations.

    Whoever stops when a pass changes nothing often stops after two of ten (docs/jm_nat.md).
    """
    lengths = 4 if Path(options.data).name.startswith("iwslt14") else 3
    return [
        "--set", f"iterations={iterations}", f"length_candidates={lengths}", "stop_when_unchanged=false"
    ]  # fmt: skip


def result_file(iterations: int) -> str:
    return f"test_{iterations}.json"


def disturb(runs: Sequence[Run], options: argparse.Namespace) -> None:
    """Figure 3: words of the source dropped or replaced, at the most iterations."""
    changes = decoding(max(ITERATIONS), options)
    output = ["--output", str(options.output.with_suffix(".noise.json"))]
    plot = ["--no-plot"] if options.no_plot else []
    folders = [str(run.folder) for run in runs]
    steps.run(
        "analyse_noise.py", *folders, *changes, "--noise", "drop_or_replace", *output, *plot, threads=options.threads
    )


def make_row(name: str, run: Run, iterations: int, command: str) -> Row:
    """What stands in the table for one system and number of iterations."""
    return {
        **steps.read_row(run, result_file(iterations)),
        "system": f"{SYSTEMS[name].title}, {iterations} iteration{'s' * (iterations > 1)}",
        **training_facts(run.log_file),
        "recipe": command,
    }


if __name__ == "__main__":
    run_main(main)
