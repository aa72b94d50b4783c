#!/usr/bin/env python3
"""Make data with few dependencies between the target's tokens: Synthetic A and B of Huang et al. 2022, Table 1.

    scripts/make_synthetic.py data-bin/multi30k_de_en --rule A
    scripts/make_synthetic.py data-bin/multi30k_de_en --rule B --seed 2
    scripts/make_synthetic.py --name news --language en --train a.en --valid b.en --test c.en --rule A

The targets are those of a data folder, or any monolingual text, which is prepared first. The source of a sentence is
the sentence itself, with half of its tokens (subwords) replaced by random ones of the training text (A), and then a
tenth of them left out (B). Written is a folder as scripts/prepare.py makes it, with the source language "noisy".
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from tabulate import tabulate

from nat_plugin.errors import UserError
from nat_plugin.files import write_json, write_lines
from scripts import prepare
from scripts.lib.binarise import preprocess, preprocess_command, read_binarised
from scripts.lib.cli import run_main, script_parser, shell
from scripts.lib.generation import displayed_path
from scripts.lib.parallel_text import sha256
from scripts.lib.preparation.job import STAGES, library_versions
from scripts.lib.preparation.make import refuse_foreign
from scripts.lib.prepared_data import PreparedData, read_text
from scripts.lib.recipes import ROOT, SPLITS
from scripts.lib.stages import Stage, StageStore, exclusive, fingerprint
from scripts.lib.synthetic import RULES, Disturber

NOISY = "noisy"
"""The language of the sources."""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: neither a data folder nor text is given, or both are.
    """
    parser = script_parser(__doc__)
    parser.add_argument("data", nargs="?", type=Path, metavar="DATA", help="a folder made by scripts/prepare.py")
    parser.add_argument("--rule", choices=RULES, required=True, help="A: tokens replaced; B: and some left out")
    parser.add_argument("--seed", type=int, default=1, help="decides all draws (default: 1)")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="the folder to write (default: DATA + _synthetic_a or _b)"
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that binarise (default: 1)")
    text = parser.add_argument_group("monolingual text")
    text.add_argument("--name", help="its data folder is data-bin/NAME")
    text.add_argument("--language", metavar="LANG", help="language code, as in 'en'")
    for split, needed in (("train", ""), ("valid", ""), ("test", ", may be left out")):
        text.add_argument(f"--{split}", type=Path, metavar="FILE", help=f"the text of the {split} set{needed}")
    text.add_argument("--bpe-merges", type=int, metavar="N", help="merge operations (default: 32000)")
    options = parser.parse_args(arguments)
    given = [name for name in ("name", "language", "train", "valid", "test", "bpe_merges") if getattr(options, name)]
    if options.data and given:
        raise UserError(f"--{given[0].replace('_', '-')} is about text of your own: drop it, or the folder.")
    missing = [name for name in ("name", "language", "train", "valid") if name not in given]
    if not options.data and missing:
        raise UserError(f"--{missing[0]} is missing: name a data folder, or text with --name, --language, --train, …")
    if options.workers < 1:
        raise UserError(f"--workers must be at least 1, not {options.workers}.")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    command = shell(["scripts/make_synthetic.py", *(sys.argv[1:] if arguments is None else arguments)])
    if not options.data:
        options.data = prepare_text(options)
    data = PreparedData.load(options.data)
    output = options.output or data.folder.with_name(f"{data.folder.name}_synthetic_{options.rule.lower()}")
    if output.resolve() == data.folder.resolve():
        raise UserError(f"--output {output} is the folder of the original data: name another.")
    refuse_foreign(output)
    stage = plan(data, options, output, command)
    with exclusive(output / STAGES / "lock"):
        store = StageStore(output / STAGES)
        store.clear_unfinished()
        if store.is_done(stage):
            print(f"done already: {stage.describe}")
        else:
            print(stage.describe, flush=True)
            store.run(stage)
        counts = store.result(stage)
    headers = ["split", "sentences", "tokens", "replaced", "dropped"]
    print(tabulate([[split, *(row[key] for key in headers[1:])] for split, row in counts.items()], headers))
    print(f"written: {displayed_path(output)}\nnext: scripts/train.py data={displayed_path(output)} method=teacher")


def prepare_text(options: argparse.Namespace) -> Path:
    """Prepare monolingual text: it is its own translation, and the source side is of no use."""
    words = ["--name", options.name, "--source-lang", NOISY, "--target-lang", options.language, "--separate-subwords"]
    for split in SPLITS:
        if path := getattr(options, split):
            words += [f"--{split}", str(path), str(path)]
    words += ["--bpe-merges", str(options.bpe_merges)] if options.bpe_merges else []
    prepare.main(words)
    return ROOT / "data-bin" / str(options.name)


def plan(data: PreparedData, options: argparse.Namespace, output: Path, command: str) -> Stage:
    """All that is to be made, as one stage."""
    language = data.target_lang
    splits = [split for split in SPLITS if (data.folder / "bpe" / f"{split}.{language}").is_file()]
    if splits[:2] != list(SPLITS[:2]):
        raise UserError(f"{data.folder} lacks bpe/train.{language} or bpe/valid.{language}: prepare the data again.")
    texts = [path for split in splits for kind in ("raw", "tok", "bpe") for path in _texts(data, kind, split)]
    key = fingerprint(
        {
            "texts": [[path.name, sha256(path)] for path in texts],
            "rule": options.rule,
            "seed": options.seed,
            "versions": library_versions("fairseq", "fairseq-fixed", "torch"),
        }
    )
    describe = f"synthetic {options.rule} of {displayed_path(data.folder)}'s {language}, seed {options.seed}"
    return Stage("synthetic", describe, key, output, partial(make, data, splits, options, output, command))


def _texts(data: PreparedData, kind: str, split: str) -> list[Path]:
    """A split's target sentences, further references among them."""
    first = data.folder / kind / f"{split}.{data.target_lang}"
    return [first, *sorted(path for path in first.parent.glob(f"{first.name}.*") if path.suffix[1:].isdigit())]


def make(
    data: PreparedData, splits: Sequence[str], options: argparse.Namespace, output: Path, command: str, folder: Path
) -> dict[str, Any]:
    """Write everything into ``folder``, from which it will be moved to ``output``.

    Returns:
        What was counted in each split.
    """
    lines = {split: read_text(data.folder / "bpe" / f"{split}.{data.target_lang}") for split in splits}
    disturb = Disturber(
        sorted({token for line in lines["train"] for token in line.split()}), options.rule, options.seed
    )
    counts: dict[str, Any] = {}
    for number, split in enumerate(SPLITS):
        if split not in splits:
            continue
        made = disturb(lines[split], number)
        words = data.words(made.lines)
        for kind, text in (("bpe", made.lines), ("tok", words), ("raw", words)):
            write_lines(folder / kind / f"{split}.{NOISY}", text)
            for path in _texts(data, kind, split):
                if path.is_file():
                    write_lines(folder / kind / path.name, read_text(path))
        counts[split] = {key: made.counts[key] for key in ("sentences", "tokens", "replaced", "dropped")}
    for path in [*data.folder.glob("codes*.bpe"), *data.folder.glob("spm*.model")]:
        (folder / path.name).write_bytes(path.read_bytes())
    shown = _binarise(data, splits, folder, output, options.workers)
    original = json.loads((data.folder / "prepare.json").read_text(encoding="utf-8"))
    tokenizer = {NOISY: "none", data.target_lang: data.tokenizer}
    record = {
        "source_lang": NOISY,
        "target_lang": data.target_lang,
        "command": command,
        "preprocess_command": shell(shown),
        "versions": library_versions("fairseq", "fairseq-fixed", "torch", "numpy"),
        "options": {**original["options"], "tokenizer": tokenizer, "joined_dictionary": True},
        "synthetic": {"rule": options.rule, "seed": options.seed, "of": displayed_path(data.folder)},
        "counts": counts,
    }
    write_json(folder / "prepare.json", record)
    return counts


def _binarise(data: PreparedData, splits: Sequence[str], folder: Path, output: Path, workers: int) -> list[str]:
    """Binarise with one dictionary for both sides; returns the command with the folder that all will lie in."""
    languages = (NOISY, data.target_lang)
    names = {split: split for split in splits}
    command, shown = (
        preprocess_command(place / "bpe", names, languages, place, joined=True, workers=workers)
        for place in (folder, output)
    )
    print(shell(shown), flush=True)
    log = output / STAGES / "fairseq-preprocess.log"
    preprocess(command, log)
    (folder / "preprocess.log").unlink(missing_ok=True)  # fairseq's own, a part of ours
    for split in splits:
        sentences = len(read_text(folder / "bpe" / f"{split}.{NOISY}"))
        for language in languages:
            found = read_binarised(folder / f"{split}.{NOISY}-{data.target_lang}.{language}").sentences
            if found != sentences:
                raise UserError(f"fairseq-preprocess wrote {found} of {sentences} sentences of {split}: see {log}.")
    return shown


if __name__ == "__main__":
    run_main(main)
