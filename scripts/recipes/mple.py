#!/usr/bin/env python3
"""Huang et al. 2022, Tables 2 and 3, Figures 5 to 7: the costs of proxy targets and inputs, and how they go with BLEU.

    scripts/recipes/mple.py --teacher runs/multi30k_en_de/teacher_tiny                       # Multi30k En→De, tiny, CPU
    scripts/recipes/mple.py --teacher TEACHER --data DATA_KD --raw DATA --size base --budget mple    # the paper's

Trains the systems of both tables on text that the teacher has distilled (scripts/distill.py TEACHER), and measures each
on one split: L_NAT, L_input, L̂_target, L̂_MPLE, BLEU with default decoding and with Input Sampling, decoding confidence;
the conditional total correlation of the data that were distilled (the line of Figure 5); and Pearson's r of L̂_MPLE and
BLEU over the systems of each table. The same command again goes on where it stopped. Written are FILE.targets.json and
FILE.inputs.json with what lies beside them (.tsv, .svg, .correlation.json), and FILE.oaxe.json, the BLEU of Table 2 on
the test set. key=value words go to scripts/train.py. See docs/mple.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from nat_plugin.errors import UserError
from scripts.lib import steps
from scripts.lib.analysis_options import check_least
from scripts.lib.cli import run_main
from scripts.lib.config import compose_run
from scripts.lib.pictures import load_pyplot
from scripts.lib.recipe_options import check_recipe, recipe_parser, training_words
from scripts.lib.runs import Run
from scripts.recipes import oaxe

TARGETS = "targets"
INPUTS = "inputs"
TABLES = {TARGETS: "Table 2", INPUTS: "Table 3"}
PROXY_INPUTS = {
    "vanilla": "Vanilla",
    "mple_cmlm": "CMLM",
    "mple_fixed_ratio": "+ fixed masking ratio",
    "mple_glat": "GLAT",
    "mple_glat_levenshtein": "+ Levenshtein dist.",
    "mple_glat_p_ref": "+ mask by P_ref",
    "mple_glat_one_minus_p_ref": "+ mask by 1 - P_ref",
}
"""Method → the line of Table 3."""
BETA = {"wmt17_zh_en": 0.25}
"""β of L̂_target, where the paper has another one than measure_mple.py (§4)."""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: an unknown table, or a word that is this recipe's to say.
    """
    parser = recipe_parser(__doc__, data="multi30k_en_de_kd", systems=TABLES, kind="tables", output="results/mple.json")
    parser.add_argument("--teacher", type=Path, required=True, metavar="RUN", help="what distilled the data")
    parser.add_argument("--raw", default="multi30k_en_de", metavar="DATA", help="the data that were distilled")
    parser.add_argument("--updates", type=int, metavar="N", help="of each training (default: the budget's)")
    parser.add_argument(
        "--fine-tuning-lr", metavar="RATE", help="of OaXE's updates: see scripts/recipes/oaxe.py --help"
    )
    parser.add_argument("--split", default="test", help="what is measured (default: test, as in the paper)")
    parser.add_argument("--beta", type=float, help="β of L̂_target (default: .2, and .25 for WMT17 Zh-En)")
    options = parser.parse_args(arguments)
    options.tables = check_recipe(options, TABLES, "tables")
    check_least(options, {"updates": 30})
    for word in options.settings:
        if (key := word.partition("=")[0]) in oaxe.OURS:
            raise UserError(f"{word} is worked out by this recipe: use {oaxe.OURS[key].replace('--rows', '--tables')}.")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    if not options.no_plot:
        load_pyplot()
    distilled = translations(options)
    if TARGETS in options.tables:
        with steps.step("Table 2: training, and translation of the test set"):
            steps.run("recipes/oaxe.py", *oaxe_words(options), threads=options.threads)
        with steps.step("C of the data that were distilled"):
            correlation = total_correlation(options)
        with steps.step("Table 2: measures"):
            runs = [folder(target_words(name, options)) for name in oaxe.SYSTEMS]
            measure(TARGETS, runs, distilled, options, "--total-correlation", correlation)
    if INPUTS in options.tables:
        for method, title in PROXY_INPUTS.items():
            with steps.step(f"Table 3, {title}: training"):
                steps.run("train.py", *input_words(method, options), threads=options.threads)
        with steps.step("Table 3: measures"):
            measure(INPUTS, [folder(input_words(method, options)) for method in PROXY_INPUTS], distilled, options)
    for table in options.tables:
        print(f"{TABLES[table]}: {output(table, options)}")


def translations(options: argparse.Namespace) -> Path:
    """The teacher's translations of the split, made unless they are there: the targets of distilled systems."""
    teacher = Run(options.teacher)
    with steps.step(f"the teacher's translation of {options.split}"):
        command = ["evaluate.py", str(options.teacher), "--split", options.split, "--tuned", "none"]
        steps.once(teacher, f"{options.split}.json", command, options.threads)
    return teacher.folder / "results" / f"{options.split}.hyp.txt"


def oaxe_words(options: argparse.Namespace) -> list[str]:
    """Table 2's trainings, as scripts/recipes/oaxe.py takes them."""
    chosen = {"data": options.data, "raw": options.raw, "size": options.size, "budget": options.budget, "rows": "all"}
    chosen["runs"] = str(options.runs)
    if options.updates:
        chosen["updates"] = str(options.updates)
    if options.fine_tuning_lr:
        chosen["fine-tuning-lr"] = options.fine_tuning_lr
    chosen["output"] = str(options.output.with_suffix(".oaxe.json"))
    flags = [word for key, value in chosen.items() for word in (f"--{key}", value)]
    return [*flags, *(["--threads", str(options.threads)] if options.threads else []), *options.settings]


def target_words(name: str, options: argparse.Namespace) -> list[str]:
    """What scripts/train.py was told for a line of Table 2."""
    return oaxe.training_words(name, oaxe.parse_arguments(oaxe_words(options)))


def input_words(method: str, options: argparse.Namespace) -> list[str]:
    """What scripts/train.py is told for a line of Table 3."""
    updates = [f"fairseq.max_update={options.updates}"] if options.updates else []
    return training_words(options, f"method={method}", *updates)


def folder(words: Sequence[str]) -> Path:
    return Path(compose_run(words)["run"])


def total_correlation(options: argparse.Namespace) -> Path:
    """C by the teacher and the vanilla NAT on the data that were distilled."""
    nat = folder(target_words("raw", options))
    steps.run(
        "total_correlation.py", options.teacher, nat, "--split", options.split,
        *(["--threads", options.threads] if options.threads else []), threads=options.threads,
    )  # fmt: skip
    return nat / "results" / f"total_correlation_{options.split}.json"


def output(table: str, options: argparse.Namespace) -> Path:
    return Path(options.output.with_suffix(f".{table}.json"))


def measure(table: str, runs: Sequence[Path], distilled: Path, options: argparse.Namespace, *more: object) -> None:
    """A table's measures and correlation, of all its systems."""
    vanilla = folder(input_words("vanilla", options))
    beta = BETA.get(options.raw) if options.beta is None else options.beta
    flags = [
        "--split", options.split, "--vanilla", vanilla, "--distilled", distilled, "--output", output(table, options),
        *(["--beta", beta] if beta is not None else []),
        *(["--threads", options.threads] if options.threads else []), *(["--no-plot"] if options.no_plot else []),
    ]  # fmt: skip
    steps.run("measure_mple.py", *runs, *flags, *more, threads=options.threads)


if __name__ == "__main__":
    run_main(main)
