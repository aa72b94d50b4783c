#!/usr/bin/env python3
"""Show what a model's latent variable z has learned: Figures 5 and 6 of Gu & Kong 2021.

    scripts/analyse_latent.py runs/multi30k_en_de_kd/ctc_vae_tiny
    scripts/analyse_latent.py RUN OTHER_RUN --split valid --output results/latent.json
    scripts/analyse_latent.py RUN --references test.de test.de.second

PCA of the posterior's means over all source positions of a split, with the number of components that hold 95 % of their
variance, and the KL of each dimension. For sentences with two translations, the positions' z under one are assigned to
those under the other by Euclidean distance: the first two references of the data folder, where it has as many, or
--references. Written to RUN/results are latent_SPLIT.json, with a signature, the numbers of the plot as .tsv and the
plot as .svg; and of the alignment every position (.positions.tsv) and a few examples (.examples.json and .svg).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from nat_plugin.files import atomic_write, write_json
from scripts.lib.analysis_options import analysis_parser, check_names, check_options, read_own_rows
from scripts.lib.cli import run_main, shell
from scripts.lib.generation import default_threads, displayed_path
from scripts.lib.latent import figure, report, rows
from scripts.lib.latent.posteriors import PosteriorReader
from scripts.lib.latent.references import ComparedReferences, ReferencePair, compare_references
from scripts.lib.measuring.machine import versions
from scripts.lib.pictures import load_pyplot
from scripts.lib.prepared_data import PreparedData
from scripts.lib.results import Row, update_rows
from scripts.lib.signatures import device_name
from scripts.lib.trained_model import TrainedModel


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: a number is out of range, or --output has another ending.
    """
    parser = analysis_parser(__doc__, split="test", read_to="read", max_tokens=8192, written=", with table and plot")
    parser.add_argument(
        "--references",
        nargs=2,
        type=Path,
        metavar="FILE",
        help="two translations of the split, untokenised (default: the first two in the data directory)",
    )
    parser.add_argument("--examples", type=int, default=3, metavar="N", help="aligned sentences to show (default: 3)")
    options = parser.parse_args(arguments)
    check_options(options, {"examples": 0}, "table and plot get their names")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    if options.output:
        read_own_rows(options.output, "pca")  # a file that cannot be updated is refused before the work, not after
    if not options.no_plot:
        load_pyplot()  # found out before the work, not after
    torch.set_num_threads(options.threads or default_threads())
    command = shell(["scripts/analyse_latent.py", *(sys.argv[1:] if arguments is None else arguments)])
    models = [TrainedModel.load(folder) for folder in options.runs]
    check_names(options, (model.name for model in models))
    for model in models:
        row = analyse(model, options, command)
        if options.output:
            update_rows(options.output, [row])
    if options.output:
        save_dimensions(read_own_rows(options.output, "pca"), options.output, with_plot=not options.no_plot)
        print(f"all systems are in {options.output}")


def analyse(model: TrainedModel, options: argparse.Namespace, command: str) -> Row:
    """Everything about one run: computed, printed, and saved in its folder.

    Raises:
        UserError: the run, its data or the references cannot be used, or the run has no latent variable.
    """
    checkpoint = model.checkpoint(options.checkpoint)
    data = PreparedData.load(options.data or model.data)
    other = bool(options.checkpoint) and checkpoint != model.checkpoint()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pair = ReferencePair.load(data, options.split, options.references)
    reader = PosteriorReader(checkpoint, data.folder, options.split, options.max_tokens, device)
    compared = compare_references(reader, pair) if pair else None
    row = {
        "system": options.name or (f"{model.name} ({checkpoint.name})" if other else model.name),
        "split": options.split,
        "method": model.method,
        "data": displayed_path(data.folder),
        "checkpoint": displayed_path(checkpoint),
        **rows.dimensions_row(reader),
        "alignment": rows.alignment_row(compared, pair.files) if compared and pair else None,
    }
    where = device_name(device)
    row |= {"signature": rows.signature(row, versions(("scikit-learn",)), device=where), "command": command}
    output = model.run.folder / "results" / f"latent_{options.split}{f'_{checkpoint.stem}' if other else ''}.json"
    write_json(output, [row])
    save_dimensions([row], output, with_plot=not options.no_plot)
    print(report.dimensions_table(row))
    if compared:
        print(f"\n{report.alignment_summary(row)}")
        save_alignments(compared, output, options.examples, with_plot=not options.no_plot)
    else:
        print("\nthe data has one translation a sentence: name two with --references to align their z")
    print(f"\n{row['signature']}\nsaved in {displayed_path(output)}\n", flush=True)
    return row


def save_dimensions(found: Sequence[Row], output: Path, *, with_plot: bool) -> None:
    """FILE.tsv and FILE.svg beside ``output``, which is FILE.json."""
    with atomic_write(output.with_suffix(".tsv")) as handle:
        handle.write(report.tsv(found))
    if with_plot:
        figure.plot_dimensions(found, output.with_suffix(".svg"))


def save_alignments(compared: ComparedReferences, output: Path, count: int, *, with_plot: bool) -> None:
    """FILE.positions.tsv, and FILE.examples.json and .svg of ``count`` sentences, which are also printed."""
    with atomic_write(output.with_suffix(".positions.tsv")) as handle:
        handle.write(report.positions_tsv(compared.sentences))
    examples = rows.choose_examples(compared.sentences, count)
    if not examples:
        return
    for sentence in examples:
        print(report.example_text(sentence))
    write_json(output.with_suffix(".examples.json"), [rows.example_row(sentence) for sentence in examples])
    if with_plot:
        figure.plot_examples(examples, output.with_suffix(".examples.svg"))


if __name__ == "__main__":
    run_main(main)
