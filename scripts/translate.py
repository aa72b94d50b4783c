#!/usr/bin/env python3
"""Translate new text with a trained run: text in, text out, prepared as the run's data were.

    scripts/translate.py RUN --input new.en --output new.de
    echo "Two dogs run on the beach." | scripts/translate.py RUN
    scripts/translate.py RUN --set length_candidates=5 < new.en > new.de

One line is one sentence, and there are as many lines afterwards; an empty one stays empty. The real fairseq-interactive
decodes as scripts/evaluate.py does, by what the run was given and what was tuned. Its command and all notes go to
standard error.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from nat_plugin.files import write_lines
from scripts.lib.analysis_options import check_least
from scripts.lib.cli import run_main, script_parser, shell
from scripts.lib.decoding_arguments import add_decoding, parse_overrides
from scripts.lib.interactive import interactive_command, run_interactive
from scripts.lib.new_text import SourceSide
from scripts.lib.prepared_data import PreparedData, decode_text, read_text
from scripts.lib.trained_model import TrainedModel


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: a --set that is no key=value, or no threads.
    """
    parser = script_parser(__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory of scripts/train.py, or a checkpoint")
    parser.add_argument("--input", type=Path, metavar="FILE", help="UTF-8 text (default: standard input)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where it goes (default: standard output)")
    add_decoding(parser)
    options = parser.parse_args(arguments)
    check_least(options, {"threads": 1})
    options.overrides = parse_overrides(options.overrides)
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    model = TrainedModel.load(options.run, options.tuned)
    data = PreparedData.load(options.data or model.data)
    side = SourceSide(data)
    text = read_text(options.input) if options.input else decode_text(sys.stdin.buffer.read(), "standard input")
    translations = translate(text, side, model, data, options)
    if options.output:
        write_lines(options.output, translations)
    else:
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
        print(*translations, sep="\n", flush=True)


def translate(
    text: Sequence[str], side: SourceSide, model: TrainedModel, data: PreparedData, options: argparse.Namespace
) -> list[str]:
    """One line for each of ``text``.

    Raises:
        UserError: fairseq-interactive failed, or a line is longer than the model takes.
    """
    prepared = side.prepare(text)
    if not prepared.lines:
        return [""] * len(text)
    if empty := len(text) - len(prepared.lines):
        _note(f"{empty} of {len(text)} lines are empty, and stay so")
    if prepared.unknown:
        _note(f"{prepared.unknown} subwords are unknown to the model: is the text of its language?")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        write_lines(source, prepared.lines)
        languages = {"source_lang": model.source_lang, "target_lang": model.target_lang}
        flags = languages | model.decoding | options.overrides
        checkpoint = model.checkpoint(options.checkpoint)
        command = interactive_command(data.folder, checkpoint, source, task=model.task, flags=flags)
        _note(f"$ {shell(command)}")
        best = run_interactive(command, prepared.places, threads=options.threads)
    undone_by_fairseq = flags.get("remove_bpe") or flags.get("post_process")
    found = data.text(best if undone_by_fairseq else data.words(best))
    translations = [""] * len(text)
    for place, line in zip(prepared.places, found, strict=True):
        translations[place] = line
    return translations


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_main(main)
