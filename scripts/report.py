#!/usr/bin/env python3
"""One self-contained HTML page about runs: scores, significance, lengths, curves, plots, sentences, commands.

    scripts/report.py runs/multi30k_en_de_kd/cmlm_ce_tiny runs/multi30k_en_de_kd/ctc_tiny/results/test_last.json
    scripts/report.py RUN OTHER_RUN --output report.html --sentences 1,5,12 --buckets 8 12 16

A RUN stands for all its translations of the split, a .json that scripts/evaluate.py wrote for one; the first system is
what the others are compared with. The page has the plots that lie in the runs' results, needs no network, and follows
the reader's choice of light or dark.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write
from scripts.lib.cli import run_main, script_parser, shell
from scripts.lib.comparison import EDGES, SAMPLES, Significance, by_reference_length, paired_bootstrap
from scripts.lib.pictures import load_pyplot
from scripts.lib.report import figures
from scripts.lib.report.page import Picture, Report, Sample, render
from scripts.lib.report.samples import choose_sentences, parse_sentences
from scripts.lib.report.systems import System, TestSet, read_systems, read_test_set
from scripts.lib.results import cells
from scripts.lib.runs import Run, flatten
from scripts.lib.training_log import Curves, read_curves

_PLOTS = ("alignments", "noise", "latent")  # of which scripts leave pictures in RUN/results


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: a number is out of range.
    """
    parser = script_parser(__doc__)
    parser.add_argument("systems", nargs="+", type=Path, metavar="RUN", help="runs, or rows of scripts/evaluate.py")
    parser.add_argument("--split", default="test", help="what was translated (default: test)")
    parser.add_argument("--output", type=Path, default=Path("report.html"), metavar="FILE", help="default: %(default)s")
    parser.add_argument("--title", default="Translations compared", help="of the page")
    parser.add_argument(
        "--buckets", nargs="+", type=int, default=EDGES, metavar="N", help="lengths where a bucket begins"
    )
    parser.add_argument("--samples", type=int, default=SAMPLES, metavar="N", help="of the bootstrap; 0: none")
    parser.add_argument("--sentences", metavar="N,N,…", help="which to show (default: 8 on which the systems differ)")
    options = parser.parse_args(arguments)
    if options.samples < 0:
        raise UserError(f"--samples must be 0 or more, not {options.samples}.")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    load_pyplot()
    systems = read_systems(options.systems, options.split)
    command = shell(["scripts/report.py", *(sys.argv[1:] if arguments is None else arguments)])
    report = make_report(systems, read_test_set(systems, options.split), options, command)
    with atomic_write(options.output) as handle:
        handle.write(render(report))
    print(f"{len(systems)} systems: {options.output}")


def make_report(systems: Sequence[System], test_set: TestSet, options: argparse.Namespace, command: str) -> Report:
    """Everything that stands on the page."""
    lines = {system.name: system.lines for system in systems}
    tokenizer = _tokenizer(systems)
    significance: dict[str, Significance] = {}
    signature, buckets = "", []
    if len(systems) > 1:
        buckets = by_reference_length(lines, test_set.references, options.buckets, tokenizer=tokenizer)
        if options.samples:
            significance, signature = paired_bootstrap(
                lines, test_set.references, tokenizer=tokenizer, samples=options.samples
            )
    runs = {_run_name(system): system.run for system in systems}
    return Report(
        title=options.title,
        command=command,
        facts=_facts(systems, test_set, options.split),
        scores=cells([system.row for system in systems]),
        signatures=_by_signature(systems),
        significance=significance,
        significance_signature=signature,
        buckets=buckets,
        pictures=[*_pictures(runs), *_bucket_picture(list(lines), buckets)],
        samples=_samples(systems, test_set, options.sentences),
        settings=_differences(runs),
        commands={system.name: str(system.row["command"]) for system in systems},
    )


def _tokenizer(systems: Sequence[System]) -> str:
    """sacreBLEU's tokeniser, which all signatures must share to be compared."""
    found = {part for system in systems for part in system.row["signature"].split("|") if part.startswith("tok:")}
    if len(found) > 1:
        raise UserError(f"the systems are scored with different tokenisers ({', '.join(sorted(found))}): choose one.")
    return found.pop().removeprefix("tok:")


def _run_name(system: System) -> str:
    return f"{system.run.folder.resolve().parent.name}/{system.run.folder.resolve().name}"


def _facts(systems: Sequence[System], test_set: TestSet, split: str) -> dict[str, str]:
    def all_of(key: str) -> str:
        return ", ".join(dict.fromkeys(str(system.row.get(key)) for system in systems))

    versions = dict.fromkeys(
        " ".join(map(str, item)) for system in systems for item in (system.row.get("versions") or {}).items()
    )
    return {
        "split": f"{split}, {len(test_set.sources)} sentences, references of each: {len(test_set.references)}",
        "data": all_of("data"),
        "device": f"{all_of('device')}, {all_of('dtype')}",
        "versions": ", ".join(versions),
    }


def _by_signature(systems: Sequence[System]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for system in systems:
        found.setdefault(str(system.row["signature"]), []).append(system.name)
    return found


def _pictures(runs: Mapping[str, Run]) -> list[Picture]:
    curves: dict[str, Curves] = {}
    for name, run in runs.items():
        try:
            curves[name] = read_curves(run.log_file)
        except UserError:
            continue  # a run whose log was not kept
    found = [Picture("Loss in training and on the validation set", figures.draw_curves(curves))] if curves else []
    for name, run in runs.items():
        for path in sorted((run.folder / "results").glob("*.svg")):
            if path.name.startswith(_PLOTS):
                found.append(Picture(f"{name}: {path.stem.replace('_', ' ')}", figures.embed_file(path)))
    return found


def _bucket_picture(names: Sequence[str], buckets: Sequence[Any]) -> list[Picture]:
    if len(buckets) < 2:
        return []
    return [Picture("BLEU by the length of the reference", figures.draw_buckets(names, buckets))]


def _samples(systems: Sequence[System], test_set: TestSet, wanted: str | None) -> list[Sample]:
    if wanted:
        places = parse_sentences(wanted, len(test_set.sources))
    else:
        places = choose_sentences([system.lines for system in systems], test_set.references, 8)
    return [
        Sample(
            number=place + 1,
            source=test_set.sources[place],
            references=[reference[place] for reference in test_set.references],
            translations={system.name: system.lines[place] for system in systems},
        )
        for place in places
    ]


def _differences(runs: Mapping[str, Run]) -> dict[str, dict[str, str]]:
    """The settings that are not the same in all runs."""
    settings = {name: flatten(run.read_config()) for name, run in runs.items() if run.config_file.is_file()}
    keys = sorted({key for config in settings.values() for key in config})
    table = {key: {name: str(config.get(key, "–")) for name, config in settings.items()} for key in keys}
    return {key: values for key, values in table.items() if len(set(values.values())) > 1}


if __name__ == "__main__":
    run_main(main)
