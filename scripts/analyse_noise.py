#!/usr/bin/env python3
"""Show how much of what a model sees it can do without: Figures 1(b) and 3 of Guo et al. 2020.

    scripts/analyse_noise.py runs/multi30k_en_de_kd/cmlm_ce_tiny
    scripts/analyse_noise.py RUN OTHER_RUN TEACHER_RUN --output results/noise.json
    scripts/analyse_noise.py RUN --noise drop_or_replace --word-rates 0.05 0.1 --draws 3 --set iterations=10

A split is translated again and again: with random vectors in place of some of the encoder's inputs, the encoder's
outputs or the decoder's inputs (--rates), and with some words of the source dropped or replaced (--word-rates). Written
to RUN/results are noise_SPLIT.json, with a signature, the numbers of the plot as .tsv and the plot as .svg. What is
measured is kept in noise_SPLIT.points.json: the same command again goes on where it was stopped. What the noise is:
docs/jm_nat_analysis.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from tqdm import tqdm

from nat_plugin.analysis.state_noise import PLACES
from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write, write_json
from scripts.lib.analysed_runs import plan_runs
from scripts.lib.analysis_options import analysis_parser, check_options, read_own_rows
from scripts.lib.cli import run_main, shell
from scripts.lib.decoding_arguments import add_overrides, parse_overrides
from scripts.lib.evaluation import Evaluation
from scripts.lib.generation import default_threads, displayed_path
from scripts.lib.in_process import SplitTranslator
from scripts.lib.measuring.machine import versions
from scripts.lib.noise import figure, report
from scripts.lib.noise.measuring import NOISES, Condition, NoisySystem
from scripts.lib.pictures import load_pyplot
from scripts.lib.results import Row, update_rows
from scripts.lib.signatures import device_name, one_line

RATES = (0.1, 0.2, 0.3, 0.4, 0.5)
WORD_RATES = (0.02, 0.04, 0.06, 0.08, 0.1)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: a number is out of range, or --output has another ending.
    """
    parser = analysis_parser(
        __doc__, split="valid", read_to="translate", max_tokens=4096, written=", with table and plot"
    )
    add_overrides(parser, "decoding flags that win over the run's, such as iterations=10")
    parser.add_argument(
        "--noise", nargs="+", choices=NOISES, help="what to disturb (default: all that the model has)", metavar="KIND"
    )
    parser.add_argument(
        "--rates", nargs="+", type=float, default=RATES, help="shares of the positions (default: .1 to .5)"
    )
    parser.add_argument(
        "--strengths", nargs="+", type=float, default=(1.0,),
        help="sizes of random vectors, in that of the vectors they replace (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--word-rates", nargs="+", type=float, default=WORD_RATES, help="shares of the words (default: .02 to .1)"
    )
    parser.add_argument("--draws", type=int, default=1, help="measure each point with so many seeds (default: 1)")
    parser.add_argument("--seed", type=int, default=1, help="the first of them (default: 1)")
    parser.add_argument("--sentences", type=int, metavar="N", help="take the first N of the split (default: all)")
    options = parser.parse_args(arguments)
    options.overrides = parse_overrides(options.overrides)
    _check(options)
    return options


def _check(options: argparse.Namespace) -> None:
    check_options(options, {"draws": 1, "sentences": 1}, "table and plot get their names")
    for name in ("rates", "word_rates"):
        for rate in getattr(options, name):
            if not 0 <= rate <= 1:
                raise UserError(f"--{name.replace('_', '-')} {rate:g} is no share: give numbers from 0 to 1.")
    for strength in options.strengths:
        if not 0 <= strength < float("inf"):
            raise UserError(f"--strengths {strength:g} is no size: give finite numbers of at least 0.")


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    if options.output:
        # a file that cannot be updated is refused before the work, not after
        read_own_rows(options.output, "curves", "clean")
    if not options.no_plot:
        load_pyplot()
    torch.set_num_threads(options.threads or default_threads())
    command = shell(["scripts/analyse_noise.py", *(sys.argv[1:] if arguments is None else arguments)])
    evaluations = plan_runs(options)
    for evaluation in evaluations:
        row = analyse(evaluation, options, command)
        if options.output:
            update_rows(options.output, [row])
    if options.output:
        save(read_own_rows(options.output, "curves", "clean"), options.output, with_plot=not options.no_plot)
        print(f"all systems are in {options.output}")


def analyse(evaluation: Evaluation, options: argparse.Namespace, command: str) -> Row:
    """Everything about one system: measured, printed, and saved in its folder.

    Raises:
        UserError: the system cannot be used, or has no canvas to disturb.
    """
    stem = f"noise_{evaluation.stem}{f'_first{options.sentences}' if options.sentences else ''}"
    output = evaluation.model.run.folder / "results" / f"{stem}.json"
    translator = SplitTranslator(evaluation, sentences=options.sentences, max_tokens=options.max_tokens)
    system = NoisySystem(translator, output.with_suffix(".points.json"))
    curves = plan_curves(system, options, evaluation.system)
    seeds = range(options.seed, options.seed + options.draws)
    total = 1 + sum(len(curve) - 1 for curve in curves) * len(seeds)
    with tqdm(total=total, desc=evaluation.system, unit=" translations", disable=None) as progress:
        clean = system.clean()
        progress.update()
        measured = [_curve(system, curve, seeds, clean, progress) for curve in curves]
    row = {
        "system": evaluation.system,
        "split": evaluation.split,
        "sentences": translator.sentences,
        "method": evaluation.model.method,
        "data": displayed_path(evaluation.data.folder),
        "checkpoint": displayed_path(evaluation.checkpoint),
        "decoding": evaluation.flags,
        "seeds": list(seeds),
        "clean": clean,
        "curves": measured,
    }
    row |= {"signature": signature(row, evaluation, translator.device), "command": command}
    write_json(output, [row])
    save([row], output, with_plot=not options.no_plot)
    print(f"{report.noise_table(row)}\n{row['signature']}\nsaved in {displayed_path(output)}\n", flush=True)
    return row


def plan_curves(system: NoisySystem, options: argparse.Namespace, name: str) -> list[list[Condition]]:
    """The points of each curve, that without noise first.

    Raises:
        UserError: the decoder's input is to be disturbed, and there is no canvas.
    """
    kinds = list(dict.fromkeys(options.noise or NOISES))
    if "decoder_input" in kinds and not system.fills_canvases:
        if options.noise:
            raise UserError(
                f"{name} has no canvas that could be disturbed, as this plugin's non-autoregressive models have: leave "
                "decoder_input out of --noise."
            )
        print(f"{name} has no canvas: decoder_input is left out", file=sys.stderr)
        kinds.remove("decoder_input")
    curves = []
    for kind in kinds:
        in_vectors = kind in PLACES
        rates = sorted({0.0, *(options.rates if in_vectors else options.word_rates)})
        for strength in dict.fromkeys(options.strengths) if in_vectors else (None,):
            curves.append([Condition(kind, rate, strength) for rate in rates])
    return curves


def _curve(system: NoisySystem, curve: Sequence[Condition], seeds: range, clean: Row, progress: Any) -> Row:
    points = []
    for condition in curve:
        progress.set_postfix_str(f"{condition.noise} {condition.rate:g}")
        drawn = [system.scores(condition, seed) for seed in (seeds if condition.rate else seeds[:1])]
        progress.update(len(drawn) if condition.rate else 0)
        mean = {
            name: sum(scores[name] for scores in drawn) / len(drawn) for name in ("bleu", "repetitions_per_sentence")
        }
        points.append(
            {
                "rate": condition.rate,
                **mean,
                "delta_bleu": mean["bleu"] - clean["bleu"],
                "draws": [scores["bleu"] for scores in drawn],
                "tokenized_bleu": [scores["tokenized_bleu"] for scores in drawn],
            }
        )
    return {"noise": curve[0].noise, "strength": curve[0].strength, "points": points}


def signature(row: Row, evaluation: Evaluation, device: str) -> str:
    """What the figures depend on beside checkpoint and data, in one line."""
    parts = {
        "noise": "round(rate × words of a sentence), by its own hash",
        "vectors": "normal, strength × root mean square of the sentence's own",
        "words": "any other of the dictionary, uniformly",
        "seeds": ",".join(map(str, row["seeds"])),
        "split": row["split"],
        "sentences": row["sentences"],
        "bleu": f"sacreBLEU, {evaluation.tokenizer}",
        "device": device_name(device),
        **versions(("sacrebleu",)),
    }
    return one_line(parts)


def save(found: Sequence[Row], output: Path, *, with_plot: bool) -> None:
    """FILE.tsv and FILE.svg beside ``output``, which is FILE.json."""
    with atomic_write(output.with_suffix(".tsv")) as handle:
        handle.write(report.tsv(found))
    if with_plot:
        figure.plot_noise(found, output.with_suffix(".svg"))


if __name__ == "__main__":
    run_main(main)
