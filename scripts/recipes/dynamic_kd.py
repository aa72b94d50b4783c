#!/usr/bin/env python3
"""Huang et al. 2022, Tables 4, 9 and 10 and Figure 8: Dynamic KD against the knowledge of any single teacher.

    scripts/recipes/dynamic_kd.py --teachers tiny,small                                      # Multi30k En→De, CPU
    scripts/recipes/dynamic_kd.py --data DATA --teachers tiny,small,base,big --size base --budget mple  # the paper's

Trains teachers of several sizes and distils the data with each (data-bin/DATA_kd_SIZE); trains the vanilla NAT and GLAT
on each of these, on the raw data, and with Dynamic KD over all of them, with and without its regulariser; translates
the test set; and tries Table 9's decoding tricks on the models with Dynamic KD (3 length candidates, de-duplication,
and λ as tuned on the validation set). The same command again goes on where it stopped. Written are FILE.json, a row for
each teacher, model and way of decoding, and Figure 8 as FILE.svg with its numbers in FILE.tsv. key=value words go to
scripts/train.py for the NATs; what the teachers are trained with: --teacher-words. See docs/dynamic_kd.md.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write, write_json
from scripts.lib import steps
from scripts.lib.analysis_options import check_least
from scripts.lib.cli import run_main, shell
from scripts.lib.config import CONFIG_FOLDER, compose_run
from scripts.lib.machine import visible_gpus
from scripts.lib.pictures import load_pyplot, save_figure
from scripts.lib.recipe_options import check_recipe, distilled_folder, recipe_parser, run_words, training_words
from scripts.lib.results import Row, table
from scripts.lib.runs import Run
from scripts.lib.training_facts import training_facts
from scripts.lib.training_log import read_last

MODELS = {"vanilla": "Vanilla", "vanilla_glat": "GLAT"}
PLAIN = ("length_candidates=1", "deduplicate=false", "length_multiplier=1")
TRICKS = {  # Table 9; appendix D says what they are
    "de-duplication": ("length_candidates=1", "deduplicate=true", "length_multiplier=1"),
    "LPD=3": ("length_candidates=3", "deduplicate=false", "length_multiplier=1"),
    "LPD=3, de-duplication": ("length_candidates=3", "deduplicate=true", "length_multiplier=1"),
}
TUNED = "LPD=3, de-duplication, λ"
RAW = "raw"
DYNAMIC = "dynamic"
UNREGULARISED = "dynamic_without_regulariser"
_TITLES = {RAW: "raw data", DYNAMIC: "Dynamic KD", UNREGULARISED: "Dynamic KD w/o regularizer"}
_OF_TEST = (
    "bleu", "tokenized_bleu", "length_ratio", "repeated_tokens", "repetitions_per_sentence", "empty_outputs",
    "signature", "decoding", "data", "checkpoint", "device", "command",
)  # fmt: skip


class System(NamedTuple):
    """A NAT and what it is trained on.

    Attributes:
        model: one of :data:`MODELS`.
        targets: ``raw``, the size of a teacher, ``dynamic`` or ``dynamic_without_regulariser``.
    """

    model: str
    targets: str

    @property
    def title(self) -> str:
        return f"{MODELS[self.model]} + {_TITLES.get(self.targets, f'KD ({self.targets})')}"

    @property
    def is_dynamic(self) -> bool:
        return self.targets in (DYNAMIC, UNREGULARISED)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: an unknown model or size, or another number of weights than of candidates.
    """
    parser = recipe_parser(
        __doc__, data="multi30k_en_de", systems=MODELS, kind="models", output="results/dynamic_kd.json"
    )
    parser.add_argument(
        "--teachers", default="tiny,small,base", metavar="SIZE,SIZE…",
        help="files in configs/size, the smallest first (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--teacher-words", default="", metavar="'KEY=VALUE …'", help="for scripts/train.py, all teachers alike"
    )
    parser.add_argument(
        "--teacher-updates", metavar="N,N…", help="of each teacher, or one number for all (default: the budget's)"
    )
    parser.add_argument("--beam", type=int, help="of the teachers as they distil (default: their own, 5 in the paper)")
    parser.add_argument(
        "--candidate-weights",
        metavar="γ,γ…",
        help="one a teacher, and that of the raw data (default: the data's, where they are for as many; else all 1)",
    )
    options = parser.parse_args(arguments)
    options.models = check_recipe(options, MODELS, "models")
    check_least(options, {"beam": 1})
    options.teachers = [size for size in options.teachers.split(",") if size]
    unknown = [size for size in options.teachers if not (CONFIG_FOLDER / "size" / f"{size}.yaml").is_file()]
    if unknown or not options.teachers:
        raise UserError(f"--teachers names '{','.join(unknown)}': give names of files in configs/size.")
    if options.teacher_updates is not None:
        options.teacher_updates = [int(number) for number in _numbers("--teacher-updates", options.teacher_updates)]
        if len(options.teacher_updates) == 1:
            options.teacher_updates *= len(options.teachers)
        if len(options.teacher_updates) != len(options.teachers) or min(options.teacher_updates) < 1:
            raise UserError(f"--teacher-updates must be one number above 0, or one for each of {options.teachers}.")
    if options.candidate_weights is not None:
        options.candidate_weights = _numbers("--candidate-weights", options.candidate_weights)
        if len(options.candidate_weights) != len(options.teachers) + 1:
            raise UserError(
                f"--candidate-weights has {len(options.candidate_weights)} numbers for {len(options.teachers)} "
                "teachers and the raw data: give one for each."
            )
    return options


def _numbers(flag: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UserError(f"{flag} {text} are no numbers: divide them by commas, as in 1,2,3.") from error


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    if not options.no_plot:
        load_pyplot()
    command = shell(["scripts/recipes/dynamic_kd.py", *(sys.argv[1:] if arguments is None else arguments)])
    options.data_folder = Path(compose_run(teacher_words(options.teachers[0], options))["data"]["path"])
    rows = [make_teacher(size, options) for size in options.teachers]
    for system in systems(options):
        words = training(system, options)
        run = Run(Path(compose_run(words)["run"]))
        with steps.step(f"{system.title}: training"):
            steps.run("train.py", *words, threads=options.threads)
        with steps.step(f"{system.title}: translation of the test set"):
            rows += translate(system, run, options)
    for row in rows:
        row["recipe"] = command
    write_json(options.output, rows)
    draw(rows, options)
    print(f"\n{table(rows)}")
    for row in rows:
        print(f"{row['system']}: {row['signature']}")
    print(f"saved in {options.output}")


def systems(options: argparse.Namespace) -> list[System]:
    """All NATs, those of Figure 8 from left to right."""
    targets = [*options.teachers, RAW, UNREGULARISED, DYNAMIC]
    return [System(model, target) for model in options.models for target in targets]


def teacher_words(size: str, options: argparse.Namespace) -> list[str]:
    """What scripts/train.py is told for a teacher."""
    chosen = {"data": options.data, "method": "teacher", "size": size, "budget": options.budget}
    if options.teacher_updates:
        chosen["fairseq.max_update"] = str(options.teacher_updates[options.teachers.index(size)])
    return [
        *(f"{key}={value}" for key, value in chosen.items()),
        *run_words(options),
        *shlex.split(options.teacher_words),
    ]


def make_teacher(size: str, options: argparse.Namespace) -> Row:
    """Train a teacher, translate the test set and distil the training set; its row of Table 10."""
    words = teacher_words(size, options)
    run = Run(Path(compose_run(words)["run"]))
    with steps.step(f"teacher, {size}: training"):
        steps.run("train.py", *words, threads=options.threads)
    with steps.step(f"teacher, {size}: translation of the test set"):
        steps.once(run, "test.json", ["evaluate.py", str(run.folder), "--tuned", "none"], options.threads)
    with steps.step(f"teacher, {size}: translation of the training set"):
        flags = ["--beam", options.beam] if options.beam else []
        flags += ["--processes", options.threads] if options.threads and not visible_gpus() else []
        steps.run("distill.py", run.folder, "--output", distilled(size, options), *flags, threads=1)
    return make_row(f"AT teacher, {size}", run, "test.json", {"size": size})


def distilled(size: str, options: argparse.Namespace) -> Path:
    """Where a teacher's translations of the training set are: beside the data, or with runs that lie elsewhere."""
    name = f"{options.data_folder.name}_kd_{size}"
    return distilled_folder(options.runs, options.data_folder, name)


def training(system: System, options: argparse.Namespace) -> list[str]:
    """What scripts/train.py is told for a NAT."""
    if not system.is_dynamic:
        data = options.data if system.targets == RAW else str(distilled(system.targets, options))
        words = [f"data={data}", *_without_data(options, f"method={system.model}")]
        # Others train that method on the raw data, too, with words of their own.
        return [*words, _name_beside(words, "raw")] if system.targets == RAW else words
    words = [
        f"data={options.data}",
        *_without_data(options, f"method={system.model}_dynamic_kd"),
        f"data.candidates=[{','.join(str(distilled(size, options)) for size in options.teachers)}]",
        f"data.candidate_weights={candidate_weights(options)}",
    ]
    if system.targets == DYNAMIC:
        return words
    return [*words, "fairseq.candidate_bleu_factor=0", _name_beside(words, "without_regulariser")]


def candidate_weights(options: argparse.Namespace) -> str:
    """γ as asked for, or as tuned for these data with as many teachers, or ``null``: all 1."""
    weights = options.candidate_weights or compose_run(teacher_words(options.teachers[0], options))["data"].get(
        "candidate_weights"
    )
    return f"[{','.join(map(str, weights))}]" if weights and len(weights) == len(options.teachers) + 1 else "null"


def _name_beside(words: Sequence[str], ending: str) -> str:
    """A name of its own for a run that the words alone would give the name of another."""
    run = Path(compose_run(words)["run"])
    return f"name={run.parent.name}/{run.name}_{ending}"


def _without_data(options: argparse.Namespace, method: str) -> list[str]:
    return [word for word in training_words(options, method) if not word.startswith("data=")]


def translate(system: System, run: Run, options: argparse.Namespace) -> list[Row]:
    """The test set in one pass, and with the decoding tricks where the paper's Table 9 has them."""
    about: Row = {"model": system.model, "targets": system.targets}
    if system.is_dynamic:
        about["chosen"] = chosen(run, options)
    rows = [decode(system.title, run, "plain", PLAIN, about, options)]
    if system.targets != DYNAMIC:
        return rows
    for trick, flags in TRICKS.items():
        rows.append(decode(f"{system.title}, {trick}", run, trick, flags, about, options))
    *rest, _ = TRICKS["LPD=3, de-duplication"]
    tuning = run.folder / "tuned.json"
    if not tuning.is_file() or tuning.stat().st_mtime < run.chosen_checkpoint().stat().st_mtime:
        steps.run("tune.py", run.folder, "length_multiplier", *rest, threads=options.threads)
    rows.append(decode(f"{system.title}, {TUNED}", run, "tuned", rest, about, options))
    return rows


def chosen(run: Run, options: argparse.Namespace) -> dict[str, float]:
    """Which share of the sentences trained on each candidate in the end."""
    values = read_last(run.log_file, "chosen_")
    names = [*options.teachers, RAW]
    return {name: values[f"chosen_{place + 1}"] for place, name in enumerate(names)}


def decode(title: str, run: Run, name: str, flags: Sequence[str], about: Row, options: argparse.Namespace) -> Row:
    """One translation of the test set, as a row."""
    suffix = name.replace(", ", "_").replace("=", "").replace(" ", "_")
    command = ["evaluate.py", str(run.folder), "--set", *flags, "--suffix", suffix]
    steps.once(run, f"test_{suffix}.json", command, options.threads)
    return make_row(title, run, f"test_{suffix}.json", {**about, "tricks": name})


def make_row(title: str, run: Run, result: str, about: Row) -> Row:
    """What stands in the table for one translation."""
    test, config = steps.read_row(run, result), run.read_config()
    return {
        "system": title,
        **about,
        **{key: test[key] for key in _OF_TEST},
        **training_facts(run.log_file),
        "batch_tokens": config["batch_tokens"],
    }


def draw(rows: Sequence[Row], options: argparse.Namespace) -> None:
    """Figure 8: BLEU of each model on each single set of targets, and of Dynamic KD as a line across."""
    single = [*options.teachers, RAW]
    bleu = {(row["model"], row["targets"]): row["bleu"] for row in rows if "model" in row and row["tricks"] == "plain"}
    with atomic_write(options.output.with_suffix(".tsv")) as handle:
        handle.write("model\ttargets\tbleu\n")
        for (model, targets), value in bleu.items():
            handle.write(f"{model}\t{targets}\t{value:.4f}\n")
    if options.no_plot:
        return
    plt = load_pyplot()
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for model in options.models:
        [line] = axes.plot(single, [bleu[model, name] for name in single], marker="o", label=MODELS[model])
        axes.axhline(
            bleu[model, DYNAMIC], linestyle="--", color=line.get_color(), label=f"{MODELS[model]} + Dynamic KD"
        )
    axes.set_xlabel("targets: the translations of a teacher of this size, or the raw data")
    axes.set_ylabel("BLEU")
    axes.legend()
    save_figure(figure, options.output.with_suffix(".svg"))


if __name__ == "__main__":
    run_main(main)
