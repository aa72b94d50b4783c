#!/usr/bin/env python3
"""The whole method in minutes: corpus, teacher, distilled data, cross entropy against AXE, one table.

    scripts/demo.py                 (or: make demo)
    scripts/demo.py --seed 2        other sentences, other weights
    scripts/demo.py --fresh         forget what an earlier demo left

Everything is done by the scripts that the README shows, and each command is printed. What an earlier, stopped demo has
finished is not done again. Data lie in data-bin/generated*, models in runs/generated*, the table in results/demo.json.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from tabulate import tabulate

from nat_plugin.processors import cores
from scripts.lib.cli import run_main, script_parser
from scripts.lib.results import Row, read_rows
from scripts.lib.steps import run, run_together, step

ROOT = Path(__file__).resolve().parents[1]
CORPUS_FILES = "data-raw/generated"
DATA, DISTILLED = "data-bin/generated", "data-bin/generated_kd"
TEACHER = "runs/generated/teacher_demo"
STUDENTS = {"cmlm_ce": "runs/generated_kd/cmlm_ce_demo", "cmlm_axe": "runs/generated_kd/cmlm_axe_demo"}
REFERENCES = 32
# Two thirds of the students' updates: an autoregressive model learns the language sooner.
TEACHER_OPTIONS = ["fairseq.max_update=1100"]
# In so few updates a CMLM learns one-pass decoding only if it is trained on what it meets there: nothing but masks.
STUDENT_OPTIONS = {
    "cmlm_ce": ["fairseq.masking=full"],
    "cmlm_axe": ["fairseq.masking=full", "fairseq.skip_target_penalty=3"],
}
SYSTEMS = {
    TEACHER: "autoregressive teacher, beam 5",
    STUDENTS["cmlm_ce"]: "CMLM, cross entropy, one pass",
    STUDENTS["cmlm_axe"]: "CMLM, AXE, one pass",
}


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the sentences and of the weights (default: 1)")
    parser.add_argument("--fresh", action="store_true", help="delete what an earlier demo left, then start")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "results" / "demo.json", help="default: results/demo.json"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    os.chdir(ROOT)
    if options.fresh:
        forget()
    started = time.monotonic()
    with step("corpus: two invented languages, every valid translation of the test sentences known"):
        make_corpus(options.seed)
    with step("teacher: an autoregressive transformer"):
        run(*train_command("generated", "teacher", options.seed, *TEACHER_OPTIONS))
    with step("distillation: the teacher translates the training set"):
        run("distill.py", TEACHER)
    with step("students: the same CMLM with cross entropy and with AXE, side by side"):
        train_students(options.seed)
    with step("translation of the test set, one sentence at a time"):
        # Alone, not in batches: on a CPU a batch keeps the teacher as busy as the students, a single sentence does not.
        # A translation does not depend on its batch, so the same run gives BLEU and time.
        run("evaluate.py", *SYSTEMS, "--set", "batch_size=1", "--output", str(options.output))
    report(read_rows(options.output), options.output)
    print(f"the demo took {time.monotonic() - started:.0f} s")


def forget() -> None:
    """Delete the demo's own folders."""
    for folder in (CORPUS_FILES, DATA, DISTILLED, TEACHER, *STUDENTS.values()):
        shutil.rmtree(folder, ignore_errors=True)


def make_corpus(seed: int) -> None:
    run("generate_corpus.py", CORPUS_FILES, "--train", 12000, "--valid", 500, "--test", 500, "--seed", seed)
    sides = {
        split: [f"{CORPUS_FILES}/{split}.{lang}" for lang in ("qke", "qmo")] for split in ("train", "valid", "test")
    }
    references = [f"{CORPUS_FILES}/test.qmo.{number}" for number in range(1, REFERENCES)]
    run(
        *("prepare.py", "--name", "generated", "--source-lang", "qke", "--target-lang", "qmo", "--tokenizer", "moses"),
        *("--bpe-merges", 1000),
        *(part for split, files in sides.items() for part in (f"--{split}", *files)),
        *("--test-references", *references),
    )


def train_command(data: str, method: str, seed: int, *overrides: str) -> list[str]:
    return [
        "train.py",
        f"data={data}",
        f"method={method}",
        "size=demo",
        "budget=demo",
        f"fairseq.seed={seed}",
        *overrides,
    ]


def train_students(seed: int) -> None:
    """Both at once where there are two cores, one after the other elsewhere."""
    commands = [train_command("generated_kd", method, seed, *STUDENT_OPTIONS[method]) for method in STUDENTS]
    run_together(commands, cores())


def report(rows: Sequence[Row], output: Path) -> None:
    """Name the systems, and print the table."""
    from nat_plugin.files import write_json

    by_run = {row["checkpoint"].rpartition("/checkpoints/")[0]: row for row in rows}
    chosen = [by_run[folder] | {"system": name} for folder, name in SYSTEMS.items()]
    write_json(output, chosen)
    slowest = chosen[0]["ms_per_sentence"]
    body = [
        [
            row["system"],
            f"{row['bleu']:.1f}",
            f"{100 * row['repeated_tokens']:.2f} %",
            f"{row['ms_per_sentence']:.2f}",
            f"{slowest / row['ms_per_sentence']:.1f} ×",
        ]
        for row in chosen
    ]
    headers = ["system", "BLEU", "repeated tokens", "ms/sentence", "speed"]
    print("\n" + tabulate(body, headers, colalign=("left", "right", "right", "right", "right"), disable_numparse=True))
    print(f"\nBLEU against all {REFERENCES} references a sentence: {chosen[0]['signature']}.")
    print(f"Time of a sentence translated alone, with one thread. The rows are in {output}.")


if __name__ == "__main__":
    run_main(main)
