#!/usr/bin/env python3
"""Tune γ of Dynamic KD on data with several references, without training anything (Huang et al. 2022, appendix F).

    scripts/tune_candidate_weights.py --data data-bin/generated --candidates DIR DIR DIR DIR
    scripts/tune_candidate_weights.py --candidates tiny.txt base.txt raw.txt --references ref1.txt ref2.txt

With --data each candidate is a folder that scripts/distill.py RUN --split test --output DIR wrote, in the order of
--target-candidates; the last one is the first reference of the data, as the raw target is the last one in training, and
the other references are what the choice is held against. Otherwise all are text files, words divided by spaces, and the
last candidate is the raw target. Of each sentence the candidate with the highest Σ_i γ_i·BLEU(Γ_i, candidate) is taken;
γ makes the mean sentence BLEU of those against the references highest. β is tuned by training: docs/dynamic_kd.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from tabulate import tabulate

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write, write_json
from nat_plugin.target_candidates.sentence_bleu import signature
from scripts.lib.candidate_weights import Agreement, along, measure, search
from scripts.lib.cli import run_main, script_parser, shell
from scripts.lib.measuring.machine import versions
from scripts.lib.prepared_data import PreparedData, read_text
from scripts.lib.tuning.space import parse_grid

OUTPUT = Path("results/candidate_weights.json")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: references come from nowhere, or from two places.
    """
    parser = script_parser(__doc__)
    parser.add_argument("--candidates", nargs="+", type=Path, required=True, metavar="DIR|FILE", help="in γ's order")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of scripts/prepare.py, with references")
    parser.add_argument("--split", default="test", help="with --data (default: test)")
    parser.add_argument("--references", nargs="+", type=Path, metavar="FILE", help="in place of --data")
    parser.add_argument("--grid", default="0:3:0.1", help="values of a weight, FIRST:LAST:STEP (default: 0:3:0.1)")
    parser.add_argument("--restarts", type=int, default=8, help="random beginnings of the search (default: 8)")
    parser.add_argument("--seed", type=int, default=1, help="of those (default: 1)")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FILE", help=f"a .json (default: {OUTPUT})")
    options = parser.parse_args(arguments)
    if bool(options.data) == bool(options.references):
        raise UserError("give either --data, a folder whose split has several references, or --references, text files.")
    if options.restarts < 0:
        raise UserError(f"--restarts must be 0 or more, not {options.restarts}.")
    if options.output.suffix != ".json":
        raise UserError(f"--output {options.output} must end in .json: the table gets its name from it.")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    grid = [float(value) for value in parse_grid(f"--grid={options.grid}")[1]]
    if min(grid) < 0:
        raise UserError(f"--grid {options.grid} has weights below 0: begin at 0.")
    names, candidates, references = read_texts(options)
    agreement = measure(candidates, references, held_out=options.data is not None)
    result = tune(agreement, names, grid, options)
    result["command"] = shell(
        ["scripts/tune_candidate_weights.py", *(sys.argv[1:] if arguments is None else arguments)]
    )
    write_json(options.output, result)
    with atomic_write(options.output.with_suffix(".tsv")) as handle:
        handle.write("candidate\tweight\tbleu\n")
        handle.writelines(f"{row['candidate']}\t{row['weight']:g}\t{row['bleu']:.4f}\n" for row in result["curve"])
    print(f"{render(result)}\n{result['signature']}\nsaved in {options.output}")
    weights = ",".join(f"{weight:g}" for weight in result["weights"])
    print(f"next: scripts/train.py … fairseq.candidate_weights={weights}, or --candidate-weights {weights}")


def read_texts(options: argparse.Namespace) -> tuple[list[str], list[list[str]], list[list[str]]]:
    """Names and texts of the candidates, and the references.

    Raises:
        UserError: a file is missing, or has another number of lines.
    """
    paths = list(options.candidates)
    names = [str(path) for path in paths]
    if options.data:
        data = PreparedData.load(options.data)
        paths = [path / "tok" / f"{options.split}.{data.target_lang}" for path in paths]
        raw, *references = data.tokenized_references(options.split)
        if not references:
            raise UserError(
                f"split '{options.split}' of {options.data} has one reference: name a split with several, which "
                "scripts/prepare.py --test-references makes."
            )
        candidates = [*map(read_text, paths), raw]
        names.append(f"{options.data} (raw)")
    else:
        candidates = [read_text(path) for path in paths]
        references = [read_text(path) for path in options.references]
        paths += options.references
    for path, lines in zip(paths, [*candidates, *references], strict=False):
        if len(lines) != len(references[0]):
            raise UserError(
                f"{path} has {len(lines)} lines, but the references have {len(references[0])}: candidates are "
                "translations of the same sentences in the same order."
            )
    if len(candidates) < 2:
        raise UserError("one candidate leaves nothing to choose: name several --candidates.")
    return names, candidates, references


def tune(agreement: Agreement, names: list[str], grid: list[float], options: argparse.Namespace) -> dict[str, Any]:
    """Search on all sentences, and on each half for the other."""
    settings = {"restarts": options.restarts, "seed": options.seed}
    found = search(agreement, grid, **settings)
    count = len(names)
    halves = [agreement.part(slice(start, None, 2)) for start in (0, 1)]
    other_half = None
    if len(agreement.quality) > 1:
        tuned = [search(half, grid, **settings).weights for half in halves]
        pairs = zip(tuned, halves[::-1], strict=True)
        sums = [float(half.mean_quality(weights)) * len(half.quality) for weights, half in pairs]
        other_half = sum(sums) / len(agreement.quality)
    shares = np.bincount(agreement.choices(found.weights), minlength=count) / len(agreement.quality)
    curve = [
        {"candidate": name, "weight": float(tried[place]), "bleu": float(reached)}
        for place, name in enumerate(names)
        for lines in [along(found.weights, place, grid)]
        for tried, reached in zip(lines, agreement.mean_quality(lines), strict=True)
    ]
    return {
        "candidates": names,
        "weights": [round(float(weight), 6) for weight in found.weights],
        "bleu": found.quality,
        "bleu_other_half": other_half,
        "bleu_all_ones": float(agreement.mean_quality(np.ones(count))),
        "bleu_single": agreement.quality.mean(0).tolist(),
        "bleu_best_choice": float(agreement.quality.max(1).mean()),
        "shares": shares.tolist(),
        "sentences": len(agreement.quality),
        "mean_references": float(agreement.references.mean()),
        "steps": found.steps,
        "curve": curve,
        "signature": "|".join(
            [signature(), f"grid:{options.grid}", f"restarts:{options.restarts}", f"seed:{options.seed}"]
            + [f"{name}:{value}" for name, value in versions(("sacrebleu",)).items()]
        ),
    }


def render(result: dict[str, Any]) -> str:
    """What each candidate has alone, and what choosing has."""
    columns = (result["candidates"], result["weights"], result["shares"], result["bleu_single"])
    body = [
        [name, f"{weight:g}", f"{100 * share:.1f}", f"{bleu:.2f}"]
        for name, weight, share, bleu in zip(*columns, strict=True)
    ]
    chosen = [
        ("chosen with γ", result["bleu"]),
        ("chosen with the γ of the other half of the sentences", result["bleu_other_half"]),
        ("chosen with γ = 1", result["bleu_all_ones"]),
        ("the best candidate of each sentence", result["bleu_best_choice"]),
    ]
    body += [[name, "", "", "–" if bleu is None else f"{bleu:.2f}"] for name, bleu in chosen]
    headers = ["candidate", "γ", "chosen %", "sentence BLEU"]
    about = f"{result['sentences']} sentences, {result['mean_references']:.1f} references each"
    return f"{about}\n{tabulate(body, headers, disable_numparse=True, colalign=('left', *('right',) * 3))}"


if __name__ == "__main__":
    run_main(main)
