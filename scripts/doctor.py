#!/usr/bin/env python3
"""Look at a machine, data and trainings for what makes numbers wrong, and say in plain sentences what to do.

    scripts/doctor.py                                                        this machine
    scripts/doctor.py data-bin/multi30k_en_de_kd                             … and data
    scripts/doctor.py data-bin/multi30k_en_de_kd runs/multi30k_en_de_kd/ctc_small    … and whether a run goes with it

Data may be made by scripts/prepare.py, scripts/distill.py or plain fairseq-preprocess; a run is a folder of
scripts/train.py, or a checkpoint of any fairseq-train. Nothing is changed. It fails (status 1) where there is a
PROBLEM: something that cannot be trusted or will not work. A note is a choice or a lack that explains a number.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from nat_plugin.errors import UserError
from nat_plugin.files import write_json
from scripts.lib.cli import run_main, script_parser
from scripts.lib.doctor.data import examine_data
from scripts.lib.doctor.findings import Finding, Level, in_words
from scripts.lib.doctor.folder import DataFolder
from scripts.lib.doctor.machine import examine_machine
from scripts.lib.doctor.training import examine_run
from scripts.lib.runs import Run


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = script_parser(__doc__)
    parser.add_argument("paths", nargs="*", type=Path, metavar="DATA|RUN", help="data folders, runs or checkpoints")
    parser.add_argument("--problems", action="store_true", help="show what is wrong, not what is well")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the findings as JSON, too")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_arguments(arguments)
    runs = [path for path in options.paths if is_run(path)]
    folders = [DataFolder.open(path) for path in options.paths if path not in runs]
    found: dict[str, list[Finding]] = {}
    for subject, findings in examinations(runs, folders):
        found[subject] = list(findings)
        shown = [finding for finding in found[subject] if not options.problems or finding.level is not Level.GOOD]
        if shown:
            print("\n".join(in_words(subject, shown)), flush=True)
    if options.output:
        rows = [
            {"subject": subject, "level": finding.level.name.lower(), "text": finding.text, "remedy": finding.remedy}
            for subject, findings in found.items()
            for finding in findings
        ]
        write_json(options.output, rows)
    levels = [finding.level for findings in found.values() for finding in findings]
    problems, notes = levels.count(Level.PROBLEM), levels.count(Level.NOTE)
    print(f"{problems} problem{'s' * (problems != 1)}, {notes} note{'s' * (notes != 1)}")
    return 1 if problems else 0


def is_run(path: Path) -> bool:
    """Whether the user means a training.

    Raises:
        UserError: there is nothing of that name.
    """
    if not path.exists():
        raise UserError(f"there is no {path}: name data folders, run folders or checkpoints.")
    return path.is_file() or Run(path).config_file.is_file() or Run(path).checkpoints.is_dir()


def examinations(runs: Sequence[Path], folders: Sequence[DataFolder]) -> Iterator[tuple[str, Iterator[Finding]]]:
    """Each subject, and what is found of it; a run is held against the one data folder that is named, or its own."""
    yield "this machine", examine_machine(Path.cwd())
    for data in folders:
        yield f"data {data.folder}", examine_data(data)
    for path in runs:
        yield f"run {path}", examine_run(path, folders[0] if len(folders) == 1 else None)


if __name__ == "__main__":
    run_main(main)
