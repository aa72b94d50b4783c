#!/usr/bin/env python3
"""Choose decoding flags of a trained run, or settings of training, on the validation set.

    scripts/tune.py RUN length_multiplier                         # λ = 1.00, 1.01 … 1.10, as the AXE paper (Table 7)
    scripts/tune.py RUN length_multiplier=1.00:1.20:0.02 length_candidates=1,3,5
    scripts/tune.py RUN ctc_beam=20 ngram_lm_path=LM.arpa ngram_lm_weight token_bonus    # α and β, as Gu & Kong 2021
    scripts/tune.py RUN length_multiplier=1.0:1.3 length_candidates=1:9 --sampler tpe --trials 25
    scripts/tune.py --train 'data=multi30k_en_de_kd method=cmlm_axe size=tiny' fairseq.skip_target_penalty=1,3,5

All combinations are tried, or --trials of them that a sampler chooses. The same command in a second process, here or on
another machine, joins in; after a kill it goes on. What RUN/results has is not decoded again, and a training goes on
from its last checkpoint. The winner by --metric is written to RUN/tuned.json, which scripts/evaluate.py reads; with
--train the command is shown that trains it. Curve and plot are beside the study (.json, .tsv, .svg): docs/tuning.md.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from nat_plugin.errors import UserError
from scripts.lib.analysis_options import check_least
from scripts.lib.cli import run_main, script_parser, shell
from scripts.lib.decoding_arguments import add_checkpoint
from scripts.lib.pictures import load_pyplot
from scripts.lib.results import Row
from scripts.lib.tuning import figure, report
from scripts.lib.tuning.decoding import METRICS, Decoding
from scripts.lib.tuning.space import SAMPLERS, Settings, Space
from scripts.lib.tuning.training import Training
from scripts.lib.tuning.winner import DECIMALS, choose, describe

TRIALS = 30


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: options do not go together.
    """
    parser = script_parser(__doc__)
    parser.add_argument(
        "words",
        nargs="*",
        metavar="RUN FLAG[=VALUES]",
        help="run directory of scripts/train.py (none with --train), and what is searched: values as 1,3,5 or "
        "first:last:step (last is included), for a sampler also first:last or first:last:log",
    )
    parser.add_argument(
        "--train",
        metavar="WORDS",
        help="what scripts/train.py is told for every training, in quotes: 'data=… method=…'",
    )
    parser.add_argument("--metric", choices=METRICS, default="bleu", help="what is to be highest (default: bleu)")
    parser.add_argument("--split", default="valid", help="what to tune on (default: valid; never the test set)")
    parser.add_argument("--sampler", choices=SAMPLERS, default="grid", help="what chooses the values (default: grid)")
    parser.add_argument(
        "--trials", type=int, metavar="N", help=f"combinations in all, with tpe or random (default: {TRIALS})"
    )
    parser.add_argument("--seed", type=int, default=1, help="of tpe or random (default: 1)")
    parser.add_argument(
        "--study",
        type=Path,
        metavar="FILE",
        help="a .journal; with --train its folder holds the runs (default: RUN/results/tune_FLAGS.journal, or one in "
        "runs/tuning)",
    )
    add_checkpoint(parser)
    parser.add_argument("--threads", type=int, help="processor threads (default: OMP_NUM_THREADS, else all processors)")
    parser.add_argument(
        "--no-store", action="store_true", help="leave RUN/tuned.json alone: the winner stands with the curve"
    )
    parser.add_argument("--no-plot", action="store_true", help="do without the plot, and so without matplotlib")
    options = parser.parse_intermixed_args(arguments)
    options.run = options.words.pop(0) if options.words and options.train is None else None
    check_options(options)
    return options


def check_options(options: argparse.Namespace) -> None:
    """Refuse options that do not go together.

    Raises:
        UserError: there are such.
    """
    if options.train is None and (options.run is None or not options.words):
        raise UserError(
            "name a run and what to tune, such as RUN length_multiplier, or give --train 'data=… method=…' and what to "
            "tune."
        )
    if options.train is not None and not options.words:
        raise UserError("--train needs what is to be tuned, such as fairseq.skip_target_penalty=1,3,5.")
    if options.train is None and "=" in options.run and not Path(options.run).exists():
        raise UserError(
            f"the first word is a run directory, and there is none called {options.run}: write RUN {options.run}."
        )
    if options.sampler == "grid" and options.trials is not None:
        raise UserError("--trials goes with --sampler tpe or random: a grid tries every combination.")
    if options.study is not None and options.study.suffix != ".journal":
        raise UserError(f"--study {options.study} must end in .journal: table and plot get their names from it.")
    if options.no_store and options.train is not None:
        raise UserError("--no-store goes with a run: with --train nothing is stored with one.")
    check_least(options, {"trials": 1, "threads": 1, "seed": 0})


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    space = Space.parse(options.words, options.sampler)
    if not options.no_plot:
        load_pyplot()
    objective = make_objective(options, space)
    objective.check()
    path = options.study or objective.study_file
    measured = search(options, space, objective, path)
    winner = choose(measured, options.metric)
    about = {
        "metric": options.metric,
        "split": options.split,
        "sampler": options.sampler,
        "command": shell(["scripts/tune.py", *(sys.argv[1:] if arguments is None else arguments)]),
        **objective.about,
    }
    report.save(path.with_suffix(".json"), measured, winner, about)
    print(report.table(measured, winner, options.metric))
    if not options.no_plot:
        title = f"{objective.name}, {options.split}"
        plot = partial(figure.plot, measured, winner, options.metric, title, path.with_suffix(".svg"))
        plot(is_grid=options.sampler == "grid")
    if winner.why:
        print(winner.why)
    score = f"{winner.row[options.metric]:.{DECIMALS}f}"
    print(f"best {options.metric} on {options.split}: {score} with {describe(winner.settings)}")
    if options.no_store:
        print(f"not stored: scripts/evaluate.py {options.run} --tuned {path.with_suffix('.json')} decodes so")
    else:
        print(objective.keep(winner.settings))
    kinds = ".json and .tsv" if options.no_plot else ".json, .tsv and .svg"
    print(f"the curve is in {path.with_suffix('')}{kinds}")


def make_objective(options: argparse.Namespace, space: Space) -> Decoding | Training:
    """What measures a combination.

    Raises:
        UserError: ``space`` does not fit, or words of --train cannot be composed.
    """
    evaluate = partial(
        Decoding, space=space, split=options.split, threads=options.threads, checkpoint=options.checkpoint
    )
    if options.train is None:
        return evaluate(Path(options.run))
    from scripts import train  # imports torch: not for --help and wrong flags

    if options.threads:
        os.environ["OMP_NUM_THREADS"] = str(options.threads)  # what scripts/train.py goes by
    folder = options.study.parent if options.study else None
    words = shlex.split(options.train)
    return Training(words, space, folder, split=options.split, train=train.main, decoding=evaluate)


def search(
    options: argparse.Namespace, space: Space, objective: Decoding | Training, path: Path
) -> list[tuple[Settings, Row]]:
    """Measure what no other process does, until all is measured.

    Raises:
        UserError: a combination cannot be measured.
    """
    from scripts.lib.tuning.study import SharedStudy  # seconds to import: not for --help and wrong flags

    with SharedStudy(
        path,
        space,
        about={**objective.about, "metric": options.metric},
        trials=None if options.sampler == "grid" else options.trials or TRIALS,
        seed=options.seed,
        order=lambda settings: [space.place(settings, name) for name in objective.slowest_first],
    ) as study:
        for claim in study.claims():
            try:
                row = objective.measure(claim.settings)
                if row.get(options.metric) is None:
                    raise UserError(f"these data have no {options.metric}: choose another --metric.")
            except UserError as error:
                study.fail(claim, str(error))
                raise
            study.finish(claim, row[options.metric], {key: row[key] for key in report.KEPT if key in row})
            print(f"{describe(claim.settings)}: {options.metric} {row[options.metric]:.{DECIMALS}f}", flush=True)
        return study.measured()


if __name__ == "__main__":
    run_main(main)
