#!/usr/bin/env python3
"""Train the study of encoder and decoder of Guo et al. 2020, §3: Table 1 (depth) and Figure 1(a) (convergence).

    scripts/study_halves.py depth data=multi30k_de_en_kd budget=cpu
    scripts/study_halves.py depth data=multi30k_de_en_kd size=tiny --layers 3 6
    scripts/study_halves.py convergence data=multi30k_de_en_kd budget=cpu --interval 200
    scripts/study_halves.py convergence data=multi30k_de_en_kd method=nat size=tiny --pretrained RUN

The words are those of scripts/train.py; where they do not say, the method is nat_hard and the size iwslt_small, as in
the paper. Every training is one of scripts/train.py, whose command is printed. `depth` trains the model as it is and
with more layers on one side. `convergence` trains a whole model (or takes --pretrained), then a fresh encoder beside
its decoder and a fresh decoder beside its encoder, which stay as they are, and translates with the checkpoints of each.
Runs, numbers (.json, .tsv) and plot (.svg) lie in --output; the same command again goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write, write_json
from scripts import train
from scripts.lib.averaging import load_checkpoint, updates_done
from scripts.lib.cli import run_main, script_parser, shell
from scripts.lib.config import compose_run
from scripts.lib.evaluation import Evaluation
from scripts.lib.generation import default_threads, displayed_path
from scripts.lib.halves import plan, report
from scripts.lib.halves.plan import Training
from scripts.lib.in_process import SplitTranslator
from scripts.lib.measuring.machine import versions
from scripts.lib.pictures import load_pyplot
from scripts.lib.points import PointStore, file_state
from scripts.lib.results import Row
from scripts.lib.signatures import device_name, one_line
from scripts.lib.trained_model import TrainedModel

_INTERVAL_CHECKPOINT = re.compile(r"checkpoint_\d+_(\d+)\.pt")
_POINTS = 20  # of a curve, where --interval does not say


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: a number is out of range, or a word is this script's to say.
    """
    parser = script_parser(__doc__)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("settings", nargs="+", metavar="key=value", help="for scripts/train.py; data=… is needed")
    shared.add_argument("--output", type=Path, metavar="DIR", help="default: runs/DATA/halves_METHOD_SIZE")
    shared.add_argument("--split", default="test", help="which part of the data to translate (default: test)")
    shared.add_argument("--sentences", type=int, metavar="N", help="translate the first N (default: all)")
    shared.add_argument("--threads", type=int, help="processor threads of translation (default: OMP_NUM_THREADS)")
    shared.add_argument("--dry-run", action="store_true", help="print the fairseq-train commands and stop")
    shared.add_argument("--no-plot", action="store_true", help="do without plots, and so without matplotlib")
    studies = parser.add_subparsers(dest="study", required=True)
    depth = studies.add_parser("depth", parents=[shared], help="Table 1: more layers on one side")
    depth.add_argument(
        "--layers", nargs="+", type=int, default=(5, 10, 15), metavar="N", help="how many more (default: 5 10 15)"
    )
    convergence = studies.add_parser("convergence", parents=[shared], help="Figure 1(a): one half beside a frozen one")
    convergence.add_argument("--interval", type=int, metavar="N", help="updates from point to point (default: 1/20)")
    convergence.add_argument(
        "--pretrained", type=Path, metavar="RUN", help="run or checkpoint with the frozen halves (default: train one)"
    )
    options = parser.parse_args(arguments)
    for name in ("sentences", "threads", "interval"):
        value = getattr(options, name, None)
        if value is not None and value < 1:
            raise UserError(f"--{name} must be at least 1, not {value}.")
    for number in getattr(options, "layers", ()):
        if number < 1:
            raise UserError(f"--layers {number} adds nothing: give numbers of at least 1.")
    options.words = plan.with_defaults(options.settings)
    options.output = options.output or plan.default_folder(options.words)
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    if not options.no_plot and not options.dry_run:
        load_pyplot()
    torch.set_num_threads(options.threads or default_threads())
    logging.getLogger("hydra").setLevel(logging.WARNING)  # fairseq lets everybody's debugging through
    command = shell(["scripts/study_halves.py", *(sys.argv[1:] if arguments is None else arguments)])
    (study_depth if options.study == "depth" else study_convergence)(options, command)


def study_depth(options: argparse.Namespace, command: str) -> None:
    """Table 1 of Guo et al. 2020."""
    layers = sorted(set(options.layers))
    trainings = plan.plan_depth(options.words, layers, options.output / "depth")
    for training in trainings.values():
        run_training(training, options.dry_run)
    if options.dry_run:
        return
    measure = Measurements(options, options.output / "depth.points.json")
    rows: list[Row] = []
    for (encoder, decoder), training in trainings.items():
        scores = measure(training.run.folder, training.run.chosen_checkpoint())
        size = {"encoder_layers": encoder, "decoder_layers": decoder}
        rows.append({"system": training.name, **size, **scores, "command": command})
    base = rows[0]
    for row in rows:
        added = {half: row[f"{half}_layers"] - base[f"{half}_layers"] for half in plan.HALVES}
        row["side"] = next((half for half, number in added.items() if number), None)
        row["added_layers"] = sum(added.values())
        row["delta_bleu"] = row["bleu"] - base["bleu"]
    save(options, "depth", rows, report.depth_tsv(rows), lambda path: report.plot_depth(rows, path))
    print(report.depth_table(rows))


def study_convergence(options: argparse.Namespace, command: str) -> None:
    """Figure 1(a) of Guo et al. 2020."""
    folder = options.output / "convergence"
    if options.pretrained:
        pretrained, of_run = TrainedModel.load(options.pretrained).checkpoint(), options.pretrained
    else:
        whole = plan.plan_whole(options.words, folder)
        pretrained, of_run = plan.trained_checkpoint(whole), whole.run.folder
    interval = options.interval or max(1, (compose_run(options.words)["fairseq"].get("max_update") or 0) // _POINTS)
    trainings = plan.plan_convergence(options.words, interval, pretrained, folder)
    if not options.pretrained:
        run_training(whole, options.dry_run)
    for training in trainings.values():
        run_training(training, options.dry_run)
    if options.dry_run:
        return
    measure = Measurements(options, options.output / "convergence.points.json")
    rows: list[Row] = []
    for half, training in trainings.items():
        points = []
        for updates, checkpoint in curve_checkpoints(training, interval):
            scores = measure(training.run.folder, checkpoint)
            points.append({"updates": updates, **scores})
        rows.append({"system": training.name, "trained": half, "points": points, "command": command})
    reference = {"system": "pretrained", "trained": None, **measure(of_run, pretrained), "command": command}
    save(
        options,
        "convergence",
        [reference, *rows],
        report.convergence_tsv(rows, reference),
        lambda path: report.plot_convergence(rows, reference, path),
    )
    print(report.convergence_table(rows, reference))


def run_training(training: Training, dry_run: bool) -> None:
    """One training, as scripts/train.py does it: to its end, from where it was stopped."""
    print(f"$ scripts/train.py {shell(training.words)}", flush=True)
    train.main([*training.words, *(["--dry-run"] if dry_run else [])])


def curve_checkpoints(training: Training, interval: int) -> list[tuple[int, Path]]:
    """The checkpoints of a training in their order, each with its number of updates; says which are not there.

    fairseq writes none at an interval that ends with its epoch.
    """
    found = {
        int(match[1]): path
        for path in training.run.checkpoints.iterdir()
        if (match := _INTERVAL_CHECKPOINT.fullmatch(path.name))
    }
    last = training.run.last_checkpoint
    found.setdefault(updates_done(load_checkpoint(last)), last)
    missing = [str(number) for number in range(interval, max(found), interval) if number not in found]
    if missing:
        print(f"{training.name}: fairseq kept no checkpoint of update {', '.join(missing)}", file=sys.stderr)
    return sorted(found.items())


class Measurements:
    """Translates with one checkpoint after the other, each once.

    Args:
        options: of the command line.
        points: where the figures are kept.
    """

    def __init__(self, options: argparse.Namespace, points: Path) -> None:
        self._split, self._sentences = options.split, options.sentences
        self._store = PointStore(points, {"split": options.split, "sentences": options.sentences})

    def __call__(self, run: Path, checkpoint: Path) -> dict[str, Any]:
        """Scores of a run's checkpoint on the split."""
        evaluation = Evaluation.plan(run, split=self._split, checkpoint=str(checkpoint))
        name = f"{displayed_path(checkpoint)} {file_state(checkpoint)} {evaluation.flags}"
        return self._store.get(name, lambda: self._measure(evaluation))

    def _measure(self, evaluation: Evaluation) -> dict[str, Any]:
        print(f"translating {self._split} with {displayed_path(evaluation.checkpoint)}", file=sys.stderr, flush=True)
        translator = SplitTranslator(evaluation, sentences=self._sentences)
        parts = {
            "bleu": f"sacreBLEU, {evaluation.tokenizer}",
            "device": device_name(translator.device),
            **versions(("sacrebleu",)),
        }
        return {
            **translator.scores(),
            "split": self._split,
            "sentences": translator.sentences,
            "checkpoint": displayed_path(evaluation.checkpoint),
            "decoding": evaluation.flags,
            "signature": one_line(parts),
        }


def save(options: argparse.Namespace, name: str, rows: Sequence[Row], tsv: str, plot: Callable[[Path], None]) -> None:
    """NAME.json, .tsv and .svg in the folder of the study."""
    output = options.output / f"{name}.json"
    write_json(output, rows)
    with atomic_write(output.with_suffix(".tsv")) as handle:
        handle.write(tsv)
    if not options.no_plot:
        plot(output.with_suffix(".svg"))
    print(f"saved in {displayed_path(output)}")


if __name__ == "__main__":
    run_main(main)
