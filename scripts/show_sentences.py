#!/usr/bin/env python3
"""Show chosen sentences side by side: translations, the passes of mask-predict, alignments, revealed tokens.

    scripts/show_sentences.py runs/multi30k_en_de_kd/cmlm_ce_tiny runs/multi30k_en_de_kd/cmlm_axe_tiny --differ 5
    scripts/show_sentences.py RUN --sentences 3,17 --set iterations=10
    scripts/show_sentences.py RUN OTHER_RUN --worst 10 --split valid --output worst.html

Each sentence with its references and, for every system, its translation; which slots each pass of the decoder filled
and what it changed; the canvas that training would show it at this checkpoint, with the revealed tokens and what the
run's criterion holds every slot against. Printed, and written as one HTML page that needs no network.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write
from scripts.lib.analysed_runs import plan_runs
from scripts.lib.analysis_options import check_least
from scripts.lib.cli import run_main, script_parser, shell
from scripts.lib.decoding_arguments import add_checkpoint, add_overrides, parse_overrides
from scripts.lib.generation import default_threads, displayed_path
from scripts.lib.in_process import SplitTranslator
from scripts.lib.report.page import render_page
from scripts.lib.sentences import text
from scripts.lib.sentences.choosing import Choice
from scripts.lib.sentences.views import check_same_text, view_sentences

DEFAULT_COUNT = 5
TEMPLATES = Path(__file__).parent / "lib" / "sentences"


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: a number is out of range.
    """
    parser = script_parser(__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directories or checkpoints")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--sentences", metavar="N,N,…", help="these, from 1")
    chosen.add_argument("--worst", type=int, metavar="N", help="lowest sentence BLEU, the mean over the systems")
    chosen.add_argument("--longest", type=int, metavar="N", help="most source words")
    chosen.add_argument(
        "--differ",
        type=int,
        metavar="N",
        help=f"the systems differ most in sentence BLEU, short to long (default: {DEFAULT_COUNT})",
    )
    parser.add_argument("--split", default="test", help="which part of the data (default: test)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="data directory (default: each run's own)")
    add_checkpoint(parser)
    add_overrides(parser, "decoding flags that win over the run's, such as iterations=10")
    parser.add_argument("--max-tokens", type=int, default=4096, metavar="N", help="of a batch (default: 4096)")
    parser.add_argument("--threads", type=int, help="processor threads (default: OMP_NUM_THREADS, else all processors)")
    parser.add_argument("--title", default="Sentences side by side", help="of the page")
    parser.add_argument(
        "--output", type=Path, default=Path("sentences.html"), metavar="FILE", help="default: %(default)s"
    )
    options = parser.parse_args(arguments)
    options.overrides = parse_overrides(options.overrides)
    check_least(options, {"worst": 1, "longest": 1, "differ": 1, "max_tokens": 1, "threads": 1})
    if options.output.suffix not in (".html", ".htm"):
        raise UserError(f"--output {options.output} must end in .html: a page is written to it.")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    torch.set_num_threads(options.threads or default_threads())
    command = shell(["scripts/show_sentences.py", *(sys.argv[1:] if arguments is None else arguments)])
    evaluations = plan_runs(options)
    check_same_text(evaluations)
    choice = Choice(options.sentences, options.worst, options.longest, options.differ)
    if choice == Choice():
        choice = Choice(differ=DEFAULT_COUNT) if len(evaluations) > 1 else Choice(worst=DEFAULT_COUNT)
    first = evaluations[0]
    if not choice.needs_translations:
        choice.places(first.sources, first.references, [])  # a sentence that is not there is refused before the work
    translators = [SplitTranslator(evaluation, max_tokens=options.max_tokens) for evaluation in evaluations]
    translations = [
        translator.evaluation.as_text(translator.translations(show_progress=True))
        for translator in (translators if choice.needs_translations else [])
    ]
    sentences = view_sentences(translators, choice.places(first.sources, first.references, translations))
    page = render_page(
        "sentences.html.j2",
        TEMPLATES,
        title=options.title,
        facts={
            "split": f"{options.split}, {len(first.sources)} sentences, references of each: {len(first.references)}",
            "data": ", ".join(dict.fromkeys(displayed_path(evaluation.data.folder) for evaluation in evaluations)),
        },
        sentences=sentences,
        few=text.FEW_REFERENCES,
        commands={evaluation.system: shell(evaluation.command) for evaluation in evaluations},
        command=command,
    )
    with atomic_write(options.output) as handle:
        handle.write(page)
    print("\n\n".join(text.sentence_text(sentence) for sentence in sentences))
    print(f"\n{text.LEGEND}\n{len(sentences)} sentences: {options.output}")


if __name__ == "__main__":
    run_main(main)
