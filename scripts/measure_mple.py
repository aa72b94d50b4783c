#!/usr/bin/env python3
"""Measure what proxy inputs and proxy targets cost, and how that goes with BLEU: Huang et al. 2022, §4.1 to §4.3.

    scripts/measure_mple.py runs/multi30k_en_de_kd/mple_cmlm_tiny --vanilla runs/multi30k_en_de_kd/vanilla_tiny
    scripts/measure_mple.py RUN OTHER_RUN THIRD_RUN --vanilla VANILLA --distilled TEACHER/results/valid.hyp.txt \\
        --references a.de b.de --total-correlation results/total_correlation.json --output results/mple.json
    scripts/measure_mple.py CMLM --teacher TEACHER_RUN --iterations 10

Printed and written to RUN/results/mple_SPLIT.json, with a signature: L_NAT, L_input, L̂_target and L̂_MPLE, BLEU with
default decoding and with Input Sampling, the decoding confidence I, and distances of raw data, distilled data and
references. With --output also, over all systems of that file, Pearson's r of each with BLEU and how it depends on β
(FILE.correlation as .json and .tsv), the table as .tsv and the plots as .svg. What is measured is kept in
mple_SPLIT.points.json: the same command again goes on where it was stopped. What each figure is: docs/mple.md.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from nat_plugin.analysis.mple import BETAS, bits_per_token, target_cost
from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write, write_json
from scripts.lib.analysed_runs import plan_runs
from scripts.lib.analysis_options import analysis_parser, check_options, read_own_rows
from scripts.lib.cli import run_main, shell
from scripts.lib.decoding_arguments import add_overrides, parse_overrides
from scripts.lib.evaluation import Evaluation
from scripts.lib.generation import default_threads, displayed_path
from scripts.lib.measuring.machine import versions
from scripts.lib.mple import figure, report
from scripts.lib.mple.correlation import correlate
from scripts.lib.mple.measuring import DEFAULT, SAMPLED, Inputs, MpleSystem, mean_sentence_bleu
from scripts.lib.mple.texts import References, SentenceBleu, distances
from scripts.lib.mple.total_correlation import read_total_correlation
from scripts.lib.pictures import load_pyplot
from scripts.lib.prepared_data import read_text
from scripts.lib.results import Row, update_rows
from scripts.lib.signatures import device_name, one_line
from scripts.lib.trained_model import TrainedModel
from scripts.lib.training_facts import training_facts

SAMPLING = {"default": (DEFAULT,), "sampled": (SAMPLED,), "both": (DEFAULT, SAMPLED)}


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: a number is out of range, or --output has another ending.
    """
    parser = analysis_parser(
        __doc__, split="valid", read_to="measure", max_tokens=4096, written=", with table, correlations and plots"
    )
    add_overrides(parser, "decoding flags that win over the run's, such as length_candidates=1")
    parser.add_argument(
        "--vanilla", type=Path, metavar="RUN", help="vanilla NAT (method=vanilla), for L_input and Input Sampling"
    )
    parser.add_argument(
        "--input-sampling", choices=SAMPLING, default="both", help="which decoding to measure (default: both)"
    )
    parser.add_argument(
        "--distilled", type=Path, metavar="FILE",
        help="a teacher's translations of the split, untokenised, as scripts/evaluate.py TEACHER --split SPLIT leaves "
        "them in its results: the targets of runs that were trained on distilled data",
    )  # fmt: skip
    parser.add_argument(
        "--references", nargs="+", type=Path, metavar="FILE",
        help="people's translations of the split, untokenised, for L̂_target (default: the further references of the "
        "data directory, or its only one)",
    )  # fmt: skip
    parser.add_argument(
        "--total-correlation",
        metavar="FILE|BITS",
        help="C of the data: bits a token, or scripts/total_correlation.py's",
    )
    parser.add_argument("--beta", type=float, default=0.2, help="β of L̂_target (default: .2, the paper's for En-De)")
    parser.add_argument(
        "--betas", nargs="+", type=float, default=BETAS, help="β to try in the correlation (default: .1 to .5)"
    )
    parser.add_argument("--draws", type=int, default=1, help="proxy inputs to draw of each sentence (default: 1)")
    parser.add_argument("--seed", type=int, default=1, help="of the first of them, and of Input Sampling (default: 1)")
    parser.add_argument("--teacher", type=Path, metavar="RUN", help="autoregressive run, for the refinement steps")
    parser.add_argument(
        "--iterations", type=int, metavar="T", help="measure C_i's stand-in in each of T passes of mask-predict"
    )
    options = parser.parse_args(arguments)
    options.overrides = parse_overrides(options.overrides)
    _check(options)
    return options


def _check(options: argparse.Namespace) -> None:
    check_options(options, {"draws": 1, "iterations": 1}, "table, correlations and plots get their names")
    for name, values in (("beta", [options.beta]), ("betas", options.betas)):
        for value in values:
            if not 0 <= value < math.inf:
                raise UserError(f"--{name} {value:g} is no weight: give finite numbers of at least 0.")
    if bool(options.teacher) != bool(options.iterations):
        raise UserError(
            "--teacher and --iterations belong together: the refinement steps of --iterations passes are compared with "
            "that autoregressive run."
        )
    if options.input_sampling == "sampled" and not options.vanilla:
        raise UserError("--input-sampling sampled needs --vanilla RUN, whose tokens it reveals.")


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    if options.output:
        # a file that cannot be updated is refused before the work, not after
        read_own_rows(options.output, "l_nat", "sentence_bleu")
    if not options.no_plot:
        load_pyplot()
    options.c = None if options.total_correlation is None else read_total_correlation(options.total_correlation)
    torch.set_num_threads(options.threads or default_threads())
    command = shell(["scripts/measure_mple.py", *(sys.argv[1:] if arguments is None else arguments)])
    evaluations = plan_runs(options)
    inputs = find_inputs(options)
    rows = []
    for evaluation in evaluations:
        rows.append(measure(evaluation, inputs, options, command))
        if options.output:
            update_rows(options.output, rows[-1:])
    if options.output:
        rows = read_own_rows(options.output, "l_nat", "sentence_bleu")
    correlation = correlate(rows, options.beta, options.betas)
    if len(rows) > 1:
        print(report.systems_table(rows))
    if correlation is not None:
        print(f"\n{report.correlation_table(correlation)}")
    if options.output:
        save(rows, correlation, options.output, command=command, with_plot=not options.no_plot)
        print(f"all systems are in {options.output}")


def find_inputs(options: argparse.Namespace) -> Inputs:
    """What the measures of all systems need.

    Raises:
        UserError: a run or a file is not there.
    """
    vanilla = None
    if options.vanilla:
        model = TrainedModel.load(options.vanilla)
        vanilla = (model.checkpoint(), model.run.folder / "results")
    return Inputs(
        vanilla=vanilla,
        teacher=TrainedModel.load(options.teacher).checkpoint() if options.teacher else None,
        distilled=(read_text(options.distilled), displayed_path(options.distilled)) if options.distilled else None,
        max_tokens=options.max_tokens,
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
    )


def measure(evaluation: Evaluation, inputs: Inputs, options: argparse.Namespace, command: str) -> Row:
    """Everything about one system: measured, printed, and saved in its folder.

    Raises:
        UserError: the system, its data, the references or the translations cannot be used.
    """
    output = evaluation.model.run.folder / "results" / f"mple_{evaluation.stem}.json"
    references = References.load(evaluation.data, evaluation.split, options.references)
    system = MpleSystem(evaluation, inputs, output.with_suffix(".points.json"))
    seeds = range(options.seed, options.seed + options.draws)
    ways = [way for way in SAMPLING[options.input_sampling] if way == DEFAULT or system.can_sample]
    metric = SentenceBleu(evaluation.tokenizer)
    scores = {way: system.scores(way, options.seed) for way in ways}
    row = {
        "system": evaluation.system,
        "split": evaluation.split,
        "sentences": len(system.reader.dataset),
        "method": evaluation.model.method,
        "data": displayed_path(evaluation.data.folder),
        "checkpoint": displayed_path(evaluation.checkpoint),
        **training_facts(evaluation.model.run.log_file),
        "updates": system.reader.updates,
        "distilled": system.is_distilled,
        "targets": system.targets,
        "decoding": evaluation.flags,
        "seeds": list(seeds),
        **costs_row(system, seeds),
        "references": references.names,
        "only_reference": references.only,
        **texts_row(system, metric, references, seeds, inputs),
        "beta": options.beta,
        **{f"bleu_{way}": scores[way]["bleu"] if way in scores else None for way in SAMPLING["both"]},
        **{f"scores_{way}": found for way, found in scores.items()},
        **{
            f"confidence_{way}": system.confidence(way, options.seed) if way in ways else None
            for way in SAMPLING["both"]
        },
        "total_correlation": options.c,
        "steps": system.steps(options.iterations) if options.iterations else [],
    }
    row["l_target"] = target_cost(row["sentence_bleu"], options.beta)
    row["l_mple"] = None if row["l_input"] is None else row["l_nat"] + row["l_input"] + row["l_target"]
    row |= {"signature": signature(row, system, inputs), "command": command}
    write_json(output, [row])
    save([row], None, output, command=command, with_plot=not options.no_plot)
    print(report.systems_table([row]))
    if row["distances"]:
        print(f"\n{report.distances_table(row)}")
    if row["steps"]:
        print(f"\n{report.steps_table(row)}")
    print(f"{row['signature']}\nsaved in {displayed_path(output)}\n", flush=True)
    return row


def costs_row(system: MpleSystem, seeds: range) -> Row:
    """L_NAT and L_input in bits a token, means over the draws."""
    drawn = [system.costs(seed) for seed in seeds]
    tokens = drawn[0]["tokens"]

    def mean(key: str) -> float | None:
        values = [each.get(key) for each in drawn]
        return None if None in values else bits_per_token(sum(values), tokens * len(values))  # type: ignore[arg-type]

    masks, shown, log_q = mean("masks"), mean("tokens_shown"), mean("log_q")
    reveals = system.reader.revealing.masking != "full"
    known = masks is not None and shown is not None and log_q is not None
    return {
        "tokens": tokens,
        "l_nat": mean("l_nat"),
        "l_nat_draws": [bits_per_token(each["l_nat"], tokens) for each in drawn],
        "revealed": sum(each["revealed"] for each in drawn) / len(drawn) / tokens,
        "input_masks": masks,
        "input_tokens": shown,
        "input_log_q": log_q,
        "l_input": masks + shown + log_q if known else (None if reveals else 0.0),  # type: ignore[operator]
    }


def texts_row(system: MpleSystem, metric: SentenceBleu, references: References, seeds: range, inputs: Inputs) -> Row:
    """Mean sentence BLEU of the proxy targets, and the distances of Figure 6."""
    kept = {"references": references.texts}
    proxies = [
        system.texts_figure(
            f"sentence BLEU seed {seed}",
            kept,
            lambda seed=seed: mean_sentence_bleu(metric, system.costs(seed)["proxy_targets"], references.texts),  # type: ignore[misc]
        )
        for seed in seeds
    ]
    evaluation = system.evaluation
    distilled = inputs.distilled[0] if inputs.distilled else None
    found = system.texts_figure(
        "distances", {**kept, "distilled": distilled},
        lambda: distances(metric, evaluation.references[0], distilled, references),
    )  # fmt: skip
    return {
        "sentence_bleu": sum(each["sentence_bleu"] for each in proxies) / len(proxies),
        "sentence_bleu_signature": proxies[0]["signature"],
        "distances": found,
    }


def signature(row: Row, system: MpleSystem, inputs: Inputs) -> str:
    """What the figures depend on beside checkpoint and data, in one line."""
    rule = system.reader.revealing
    ratio = f",ratio {rule.ratio.at(system.reader.updates):g}" if rule.masking in ("glancing", "fixed_ratio") else ""
    parts = {
        "unit": "bits a target token, no end marker",
        "Z": f"{rule.masking}{ratio},{rule.distance},{rule.count},{rule.choice}",
        "T": system.reader.criterion.cfg._name,
        "targets": row["targets"],
        "draws": ",".join(map(str, row["seeds"])),
        "references": f"{len(row['references'])}{' (the only one)' if row['only_reference'] else ''}",
        "beta": f"{row['beta']:g}",
        "sentence": row["sentence_bleu_signature"].replace("|", ","),
        "bleu": f"sacreBLEU, {system.evaluation.tokenizer}",
        "vanilla": displayed_path(inputs.vanilla[0]) if inputs.vanilla else "none",
        "split": row["split"],
        "dtype": "fp32",
        "device": device_name(inputs.device),
        **versions(("sacrebleu",)),
    }
    return one_line(parts)


def save(rows: Sequence[Row], correlation: Row | None, output: Path, *, command: str, with_plot: bool) -> None:
    """FILE.tsv, FILE.svg and, of several systems, FILE.correlation.json and .tsv, beside ``output``: FILE.json."""
    with atomic_write(output.with_suffix(".tsv")) as handle:
        handle.write(report.tsv(rows))
    if correlation is not None:
        write_json(output.with_suffix(".correlation.json"), {**correlation, "command": command})
        with atomic_write(output.with_suffix(".correlation.tsv")) as handle:
            handle.write(report.correlation_tsv(correlation))
    if with_plot:
        figure.plot_mple(rows, correlation, output.with_suffix(".svg"))


if __name__ == "__main__":
    run_main(main)
