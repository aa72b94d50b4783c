#!/usr/bin/env python3
"""A training step of GLAT that chooses among candidate targets (Dynamic KD) against a plain step of GLAT.

    benchmarks/dynamic_kd.py                       transformer-base, V = 32000 (or: make benchmark-dynamic-kd)
    benchmarks/dynamic_kd.py --device cuda --batch 256
    benchmarks/dynamic_kd.py --quick               a tiny model, seconds: only to see that it runs

A step is what fairseq's trainer does: forward, loss, backward, Adam. Both get the same model, sources, masks and
dropout, and are run in turn (A B A B …); the median of the ratios counts. A masked canvas depends on its length alone,
so what a choice costs depends on how many different lengths the candidates of a sentence have, which is varied. The
selection's own time is measured besides. Figures are saved in results/benchmark_dynamic_kd.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch
from torch import Tensor

from benchmarks import bars
from benchmarks.pivot import markdown
from benchmarks.training import Training
from nat_plugin.errors import UserError
from nat_plugin.files import write_json
from nat_plugin.models.target_choice import TargetCandidates, choose_targets
from scripts.lib.cli import run_main, script_parser, shell
from scripts.lib.measuring.clock import add_clock, check_clock
from scripts.lib.measuring.machine import describe_in_words, describe_machine
from scripts.lib.measuring.timing import measure, measure_pairs
from scripts.lib.pages import replace_block

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "results" / "benchmark_dynamic_kd.json"
CRITERION = "nat_cross_entropy"


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--arch", default="glat_base", help="a preset of nat_plugin (default: glat_base)")
    parser.add_argument("--vocabulary", type=int, default=32000, metavar="V", help="default: 32000")
    parser.add_argument("--batch", type=int, default=8, help="sentences (default: 8)")
    parser.add_argument("--length", type=int, default=30, help="tokens of a source and of the longest target")
    parser.add_argument("--candidates", type=int, default=5, metavar="K", help="default: 5, as in the paper")
    parser.add_argument(
        "--different", type=int, nargs="+", metavar="U", help="different lengths of a sentence (default: 1 to K)"
    )
    parser.add_argument("--threads", type=int, default=1, help="default: 1")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--repetitions", type=int, default=15, help="most pairs a row (default: 15)")
    parser.add_argument("--seconds", type=float, default=60.0, help="a row ends after these and 3 pairs")
    add_clock(parser)
    parser.add_argument("--quick", action="store_true", help="a tiny model; saved only with --output")
    parser.add_argument("--output", type=Path, help=f"default: {OUTPUT.relative_to(ROOT)}")
    parser.add_argument("--docs", type=Path, metavar="PAGE", help="put the table into this page's marked block")
    options = parser.parse_args(arguments)
    if options.quick:
        options.arch, options.vocabulary, options.batch, options.length = "glat_tiny", 60, 2, 8
        options.repetitions, options.seconds = 2, 0.0
    elif options.output is None:
        options.output = OUTPUT
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    if min(options.batch, options.candidates, options.threads, options.repetitions) < 1:
        raise UserError("--batch, --candidates, --threads and --repetitions must be at least 1.")
    different = options.different or list(range(1, options.candidates + 1))
    if not all(1 <= lengths <= options.candidates <= options.length for lengths in different):
        raise UserError("--different must be from 1 to --candidates, and --length no less than those.")
    torch.set_num_threads(options.threads)
    training = Training(options.arch, options.vocabulary, options.batch, options.length, "glancing", options.device)
    results = {
        "machine": describe_machine(options.device),
        "threads": options.threads,
        "clock": options.clock,
        "device": options.device,
        "model": training.describe(),
        "candidates": options.candidates,
        "time": [time_case(training, lengths, options) for lengths in different],
        "command": shell(["benchmarks/dynamic_kd.py", *(sys.argv[1:] if arguments is None else arguments)]),
    }
    print("\n" + render(results))
    if options.output:
        write_json(options.output, results)
        print(f"\nsaved in {options.output}")
    if options.docs:
        replace_block(options.docs, "dynamic-kd", render(results))
        print(f"the table is in {options.docs}")


def time_case(training: Training, different: int, options: argparse.Namespace) -> dict[str, Any]:
    """A step with a choice against one without, and the choice alone."""
    settings = {
        "repetitions": options.repetitions,
        "budget": options.seconds,
        "device": options.device,
        "clock": check_clock(options),
    }
    candidates = make_candidates(training, options.candidates, different)
    baseline = training.step(CRITERION, None)
    baseline()
    pairs = measure_pairs(baseline, with_candidates(training, candidates), **settings)
    selection = measure(selecting(training, candidates), **settings)
    print(f"{different} different lengths: {pairs.ratio.median:.3f} x", file=sys.stderr, flush=True)
    return {
        "different_lengths": different,
        "ratio": pairs.ratio.median,
        "ratio_quartiles": [pairs.ratio.low, pairs.ratio.high],
        "ms": pairs.ms.median,
        "baseline_ms": pairs.baseline_ms.median,
        "selection_ms": selection.median,
        "selection_share": selection.median / pairs.ms.median,
        "pairs": pairs.count,
        "bar": bars.DYNAMIC_KD if options.candidates == 5 else None,
    }


def make_candidates(training: Training, count: int, different: int) -> dict[str, Any]:
    """Random targets of each sentence: candidate k is k mod ``different`` tokens shorter than the batch's own."""
    target = training.sample["target"]
    batch, width = target.size(0), target.size(1) - 1
    dictionary = training.dictionary
    tokens = torch.randint(dictionary.nspecial, training.task.mask_idx, (batch, count, width), device=target.device)
    lengths: Tensor = width - torch.arange(count, device=target.device).remainder(different).expand(batch, count)
    places = torch.arange(width, device=target.device)
    tokens = tokens.masked_fill(places >= lengths.unsqueeze(2), dictionary.pad())
    # the first costs least, so that both steps train on targets of one length
    regulariser = torch.zeros(batch, count, dtype=torch.float64, device=target.device)
    regulariser[:, 0] = 1e6
    return {"tokens": tokens, "lengths": lengths, "regulariser": regulariser, "per_token": False}


def with_candidates(training: Training, candidates: dict[str, Any]) -> Callable[[], None]:
    """The step of :meth:`Training.step` on a batch that has candidates."""
    plain = training.sample
    step = training.step(CRITERION, None)

    def run() -> None:
        training.sample = {**plain, "candidates": candidates}
        step()
        training.sample = plain

    return run


def selecting(training: Training, candidates: dict[str, Any]) -> Callable[[], object]:
    """The choice alone, with the encoder's output at hand."""
    with torch.no_grad():
        encoder_out = training.model.encode(**training.sample["net_input"])
    return lambda: choose_targets(training.model, TargetCandidates(**candidates), encoder_out, keep_pass=True)


def render(results: dict[str, Any]) -> str:
    """One row a number of different lengths, as Markdown."""
    body = []
    for row in results["time"]:
        low, high = row["ratio_quartiles"]
        body.append(
            [
                *(str(row["different_lengths"]), f"{row['baseline_ms']:.0f}", f"{row['ms']:.0f}"),
                *(f"{row['ratio']:.3f}", f"{low:.3f} – {high:.3f}"),
                *(f"{row['selection_ms']:.0f}", f"{100 * row['selection_share']:.0f} %"),
                "–" if row["bar"] is None else f"≤ {row['bar']:g}",
                bars.verdict([row["ratio"]], row["bar"]),
            ]
        )
    headers = ["different lengths", "GLAT, ms", "with a choice, ms", "× GLAT", "quartiles"]
    headers += ["selection, ms", "of the step", "bar", ""]
    about = f"{describe_in_words(results)}; {results['model']}; {results['candidates']} candidates"
    return f"{about}. `{results['command']}`\n\n{markdown(body, headers, left=1)}"


if __name__ == "__main__":
    run_main(main)
