#!/usr/bin/env python3
"""Compare how fast trained systems translate one test set, and how well: L1 and Lmax of Gu & Kong 2021, Figure 4.

    scripts/benchmark_latency.py runs/wmt/teacher_base runs/wmt/teacher_base_12_1:beam=1 runs/wmt_kd/ctc_base
    scripts/benchmark_latency.py TEACHER CMLM:iterations=4,name=CMLM-4 CMLM:iterations=10,name=CMLM-10 CTC
    scripts/benchmark_latency.py CTC CTC:ctc_beam=20,ngram_lm_path=LM.arpa,ngram_lm_weight=0.4 CTC:fp16=true,name=half
    scripts/benchmark_latency.py checkpoints/a.pt checkpoints/b.pt --data data-bin/mine --measures l1_cpu --threads 1

A system is a run directory or a checkpoint, and after a colon decoding flags that win over the run's (tuned ones
included), `name=`, `checkpoint=` and `tuned=` (a file of scripts/tune.py, in place of RUN/tuned.json). All are in this
process and take turns, so that a machine that slows down slows all of them; the first is what the others are compared
with. Times go from the source's token ids to the translation's, encoder and all searches included. L1: each sentence
alone. Lmax: batches as large as the GPU takes, on a CPU as large as is fastest. BLEU is of the very translations that
were timed. Written are FILE.json with a signature of every figure, and beside it the numbers as .tsv and the plot of
quality against latency as .svg.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write, write_json
from scripts.lib.cli import run_main, script_parser, shell
from scripts.lib.generation import default_threads
from scripts.lib.latency import figure, report, rows
from scripts.lib.latency.comparison import Comparison, Settings
from scripts.lib.latency.systems import SystemSpec, plan_systems
from scripts.lib.measuring.clock import add_clock, check_clock
from scripts.lib.measuring.memory import available


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: a number is out of range, or a measure needs a GPU and there is none.
    """
    parser = script_parser(__doc__)
    parser.add_argument("systems", nargs="+", metavar="SYSTEM", help="RUN or RUN:flag=value,…; the baseline first")
    parser.add_argument("--split", default="test", help="which part of the data to translate (default: test)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="data directory (default: each run's own)")
    parser.add_argument("--tokenize", metavar="NAME", help="sacreBLEU's tokenizer (default: by target language)")
    parser.add_argument("--sentences", type=int, metavar="N", help="only the first N, BLEU too (default: all)")
    parser.add_argument(
        "--measures",
        nargs="+",
        choices=tuple(rows.MEASURES),
        help="default: L1 on GPU and CPU and Lmax on the GPU; without a GPU L1 and Lmax on the CPU",
    )
    parser.add_argument("--repeats", type=int, default=3, help="of the whole test set, in each measure (default: 3)")
    parser.add_argument(
        "--block", type=int, default=50, metavar="N", help="L1: sentences before another system's turn (default: 50)"
    )
    parser.add_argument(
        "--warm-up", type=int, default=10, metavar="N", help="L1: sentences before the clock starts (default: 10)"
    )
    parser.add_argument("--threads", type=int, help="processor threads (default: OMP_NUM_THREADS, else all processors)")
    add_clock(parser)
    parser.add_argument(
        "--memory-limit", type=float, metavar="GIB", help="Lmax, CPU: of a batch (default: half of what is free)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("results/latency.json"), metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument("--no-plot", action="store_true", help="do without the plot, and so without matplotlib")
    options = parser.parse_args(arguments)
    _check_numbers(options)
    options.measures = _measures(options.measures)
    options.threads = options.threads or default_threads()
    options.device = "cuda" if any(rows.device_of(measure) == "cuda" for measure in options.measures) else "cpu"
    check_clock(options)
    return options


def _check_numbers(options: argparse.Namespace) -> None:
    for name in ("sentences", "repeats", "block", "threads"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} must be at least 1, not {value}.")
    if options.warm_up < 0:
        raise UserError(f"--warm-up must not be below 0, and is {options.warm_up}.")
    if options.memory_limit is not None and options.memory_limit <= 0:
        raise UserError(f"--memory-limit must be above 0 GiB, and is {options.memory_limit:g}.")
    if options.output.suffix != ".json":
        raise UserError(f"--output {options.output} must end in .json: table and plot get their names from it.")


def _measures(asked: Sequence[str] | None) -> list[str]:
    gpu = torch.cuda.is_available()
    if asked is None:
        return ["l1_gpu", "l1_cpu", "lmax_gpu"] if gpu else ["l1_cpu", "lmax_cpu"]
    without = [measure for measure in asked if rows.device_of(measure) == "cuda" and not gpu]
    if without:
        raise UserError(f"--measures {' '.join(without)} needs a CUDA GPU and none is visible here: name others.")
    return [measure for measure in rows.MEASURES if measure in asked]


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    torch.set_num_threads(options.threads)
    specs = [SystemSpec.parse(text) for text in options.systems]
    planned = plan_systems(specs, split=options.split, data=options.data, tokenizer=options.tokenize)
    settings = Settings(
        sentences=min(options.sentences or len(planned[0].sources), len(planned[0].sources)),
        repeats=options.repeats,
        block=options.block,
        warm_up=options.warm_up,
        threads=options.threads,
        clock=options.clock,
        memory_limit_gib=options.memory_limit or default_memory_limit(),
    )
    command = shell(["scripts/benchmark_latency.py", *(sys.argv[1:] if arguments is None else arguments)])
    comparison = Comparison(planned, settings, command, options.measures)
    for measure in options.measures:
        comparison.run(measure)
        save(comparison.results, options.output, with_plot=not options.no_plot)
        print(report.table(measure, comparison.results))
        baseline = comparison.results["systems"][0]["measures"][measure]
        print(f"{baseline['signature']} (BLEU {baseline['bleu_signature']})\n", flush=True)
    print(f"saved in {options.output}, with the signature of every figure")


def save(results: Mapping[str, Any], output: Path, *, with_plot: bool) -> None:
    """FILE.json, FILE.tsv and FILE.svg."""
    write_json(output, results)
    with atomic_write(output.with_suffix(".tsv")) as handle:
        handle.write(report.tsv(results))
    if with_plot:
        figure.plot(results, output.with_suffix(".svg"))


def default_memory_limit() -> float | None:
    """Half of the main memory that is free, GiB."""
    free = available()
    return None if free is None else free / 2 / 2**30


if __name__ == "__main__":
    run_main(main)
