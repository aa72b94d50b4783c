#!/usr/bin/env python3
"""Huang et al. 2022, Table 2: a vanilla NAT against raw data, distilled data, AXE and OaXE as targets.

    scripts/recipes/oaxe.py                                              # Multi30k En→De, tiny, CPU: KD and OaXE
    scripts/recipes/oaxe.py --rows all --raw multi30k_en_de --size small --budget gpu
    scripts/recipes/oaxe.py --data DATA_KD --rows all --raw DATA --size base --budget mple           # the paper's

Trains the vanilla NAT with cross entropy, and keeps its weights after 1/30, 1/6 and all of the budget's updates (10k,
50k and 300k in the paper); fine-tunes each with OaXE, for a third of the updates at a fixed rate; trains with AXE where
that is asked for; and translates the test set with each. The same command again goes on where it stopped. Written is
FILE.json, a row for each line of the table. key=value words go to scripts/train.py. See docs/oaxe.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from nat_plugin.errors import UserError
from nat_plugin.files import write_json
from scripts.lib import steps
from scripts.lib.cli import run_main, shell
from scripts.lib.config import CONFIG_FOLDER, compose_run
from scripts.lib.recipe_options import check_recipe, recipe_parser, run_words
from scripts.lib.results import Row, table
from scripts.lib.runs import Run
from scripts.lib.starting import HALVES
from scripts.lib.training_facts import training_facts

PRETRAINING = {"10k": (1, 30), "50k": (1, 6), "300k": (1, 1)}
"""Table 2's numbers of updates before the fine-tuning, as parts of all."""
FINE_TUNING_RATE = 1 / 50
"""Of the highest rate before: 1e-5 after 5e-4 (appendix G)."""


class System(NamedTuple):
    """A line of Table 2.

    Attributes:
        name: as in the table.
        method: in configs/method.
        pretraining: one of :data:`PRETRAINING` where the training goes on from there.
    """

    name: str
    method: str
    pretraining: str | None = None


SYSTEMS = {
    "raw": System("raw data", "vanilla"),
    "kd": System("KD", "vanilla"),
    **{f"axe_delta{delta}": System(f"KD + AXE (τ={delta})", f"vanilla_axe_delta{delta}") for delta in (1, 5, 10)},
    **{f"oaxe_{part}": System(f"KD + OaXE ({part})", f"vanilla_oaxe_{part}", part) for part in PRETRAINING},
}
_DEFAULT = "kd,oaxe_10k,oaxe_50k,oaxe_300k"
_OF_TEST = (
    "bleu", "tokenized_bleu", "length_ratio", "repeated_tokens", "repetitions_per_sentence", "empty_outputs",
    "signature", "decoding", "data", "checkpoint", "device",
)  # fmt: skip
BEGINNINGS = tuple(f"fairseq.{half}" for half in HALVES)
"""Words for what begins, not for what is fine-tuned."""
OURS = {
    "run": "--runs",
    "start_from": "nothing: the vanilla NAT is trained here",
    "fairseq.max_update": "--updates",
    "data": "--data",
    "size": "--size",
    "budget": "--budget",
    "method": "--rows",
}


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: an unknown row, a budget without one for fine-tuning, or a word that is this recipe's to say.
    """
    parser = recipe_parser(
        __doc__,
        data="multi30k_en_de_kd",
        systems=SYSTEMS,
        kind="rows",
        output="results/oaxe.json",
        default=_DEFAULT,
        plots=False,
    )
    parser.add_argument("--raw", metavar="DATA", help="the data that were distilled, for the row raw")
    parser.add_argument("--updates", type=int, metavar="N", help="of a whole training (default: the budget's)")
    parser.add_argument(
        "--fine-tuning-lr", type=float, metavar="RATE", help="default: a fiftieth of fairseq.lr=…, else the budget's"
    )
    options = parser.parse_args(arguments)
    options.rows = check_recipe(options, SYSTEMS, "rows")
    if ("raw" in options.rows) != bool(options.raw):
        raise UserError("the row raw and --raw DATA go together: give both, or neither.")
    if not (CONFIG_FOLDER / "budget" / f"{options.budget}_fine_tuning.yaml").is_file():
        raise UserError(f"--budget {options.budget} has no configs/budget/{options.budget}_fine_tuning.yaml: write it.")
    for word in options.settings:
        if (key := word.partition("=")[0]) in OURS:
            raise UserError(f"{word} is worked out by this recipe: use {OURS[key]}.")
    if options.fine_tuning_lr is not None and not 0 < options.fine_tuning_lr < 1:
        raise UserError(f"--fine-tuning-lr {options.fine_tuning_lr:g} is no rate: give a number between 0 and 1.")
    if options.updates is not None and options.updates < max(bottom for _, bottom in PRETRAINING.values()):
        raise UserError(f"--updates {options.updates} is too few to take a thirtieth of: give 30 or more.")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    command = shell(["scripts/recipes/oaxe.py", *(sys.argv[1:] if arguments is None else arguments)])
    rows = []
    needed = [part for part in PRETRAINING if f"oaxe_{part}" in options.rows]
    if needed:
        pretrain(needed, options)
    for name in options.rows:
        words = training_words(name, options)
        run = Run(Path(compose_run(words)["run"]))
        with steps.step(f"{SYSTEMS[name].name}: training"):
            steps.run("train.py", *words, threads=options.threads)
        with steps.step(f"{SYSTEMS[name].name}: translation of the test set"):
            steps.once(run, "test.json", ["evaluate.py", str(run.folder), "--tuned", "none"], options.threads)
        rows.append(make_row(name, run, command))
    write_json(options.output, rows)
    print(f"\n{table(rows)}")
    for row in rows:
        print(f"{row['system']}: {row['signature']}")
    print(f"saved in {options.output}")


def training_words(name: str, options: argparse.Namespace) -> list[str]:
    """What scripts/train.py is told for a row of the table."""
    system = SYSTEMS[name]
    fine_tuned = system.pretraining is not None
    chosen = {
        "data": options.raw if name == "raw" else options.data,
        "size": options.size,
        "budget": f"{options.budget}_fine_tuning" if fine_tuned else options.budget,
        "method": system.method,
    }
    if system.pretraining:
        chosen["start_from"] = str(kept_weights(vanilla_run(options), system.pretraining))
    if options.updates:
        chosen["fairseq.max_update"] = str(options.updates // 3 if fine_tuned else options.updates)
    settings = options.settings
    if fine_tuned:  # it goes on from weights that began with that half already
        settings = [word for word in settings if word.partition("=")[0] not in BEGINNINGS]
    words = [*(f"{key}={value}" for key, value in chosen.items()), *run_words(options), *settings]
    rate = fine_tuning_rate(options) if fine_tuned else None
    return words if rate is None else [*words, f"fairseq.lr={rate:g}"]


def fine_tuning_rate(options: argparse.Namespace) -> float | None:
    """The rate of OaXE: as given, else the paper's proportion of a given ``fairseq.lr``; None: the budget's."""
    if options.fine_tuning_lr is not None:
        return float(options.fine_tuning_lr)
    given = [word.partition("=")[2] for word in options.settings if word.startswith("fairseq.lr=")]
    return float(given[-1]) * FINE_TUNING_RATE if given else None


def vanilla_run(options: argparse.Namespace) -> Run:
    """The NAT on distilled data, from whose weights OaXE goes on."""
    return Run(Path(compose_run(training_words("kd", options))["run"]))


def kept_weights(run: Run, part: str) -> Path:
    """Where the weights of a part of the vanilla NAT's training are kept."""
    return run.checkpoints / f"pretrained_{part}.pt"


def pretrain(parts: Sequence[str], options: argparse.Namespace) -> None:
    """Train the vanilla NAT part by part, as one training, and keep its weights after each.

    Raises:
        UserError: it has been trained further already, without keeping them.
    """
    words = training_words("kd", options)
    flags, run = compose_run(words)["fairseq"], vanilla_run(options)
    total = flags.get("max_update")
    if not total:
        raise UserError("the budget does not say when a training ends: give --updates.")
    if flags.get("total_num_update"):  # a rate that falls to 0 falls over the whole training, not over each part
        words.append(f"fairseq.total_num_update={total}")
    for part in parts:
        numerator, denominator = PRETRAINING[part]
        updates, kept = max(1, round(total * numerator / denominator)), kept_weights(run, part)
        if kept.is_file() and read_updates(kept) == updates:
            continue
        trained_to = run.read_config()["fairseq"].get("max_update") if run.config_file.exists() else 0
        if trained_to > updates:
            raise UserError(
                f"{run.folder} has been trained for more than {updates} updates, and the weights after so many were "
                f"not kept: drop oaxe_{part} from --rows, or move that run away."
            )
        with steps.step(f"vanilla NAT, {updates} updates ({part} in the paper)"):
            steps.run("train.py", *words, f"fairseq.max_update={updates}", threads=options.threads)
        keep_weights(run.last_checkpoint, kept, updates)


def keep_weights(checkpoint: Path, kept: Path, updates: int) -> None:
    """A copy of a checkpoint without its optimiser; beside it, how many updates it has seen."""
    from scripts.lib.averaging import write_average  # seconds to import

    write_average([checkpoint], kept)
    write_json(kept.with_suffix(".json"), {"updates": updates})


def read_updates(kept: Path) -> int | None:
    """How many updates kept weights have seen; None where that is not said."""
    try:
        return int(json.loads(kept.with_suffix(".json").read_text(encoding="utf-8"))["updates"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def make_row(name: str, run: Run, command: str) -> Row:
    """What stands in the table for one row."""
    test, config = steps.read_row(run, "test.json"), run.read_config()
    return {
        "system": SYSTEMS[name].name,
        **{key: test[key] for key in _OF_TEST},
        "method": config["method"]["name"],
        **training_facts(run.log_file),
        "learning_rate": config["fairseq"]["lr"],
        "started_from": config.get("start_from"),
        "commands": {"recipe": command, "translation": test["command"]},
    }


if __name__ == "__main__":
    run_main(main)
