#!/usr/bin/env python3
"""Estimate an n-gram language model of target subwords, for CTC beam search (docs/ctc_beam.md).

    scripts/train_lm.py data-bin/multi30k_en_de_kd                       # 4-grams of the (distilled) training targets
    scripts/train_lm.py data-bin/multi30k_en_de_kd --order 3 --prune 0 0 1 --output lm3.arpa
    scripts/train_lm.py train.bpe.de --lmplz path/to/lmplz               # a text of subwords, one sentence a line

The model is interpolated modified Kneser-Ney, as KenLM's lmplz estimates it, and is written in ARPA format, whole or
not at all. Take the text that trained the student: the paper uses the distilled targets, to bring in nothing new.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from tqdm import tqdm

from nat_plugin.decoding.ngram_lm import NgramModel, corpus_of_sentences, estimate, read_arpa, write_arpa
from nat_plugin.errors import UserError
from scripts.lib.cli import run_main, script_parser, shell
from scripts.lib.lm_text import LmText


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = script_parser(__doc__)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder of binarised data, or a text of subwords")
    parser.add_argument("--split", default="train", help="of binarised data (default: train)")
    parser.add_argument("--lang", help="of binarised data (default: the target language)")
    parser.add_argument("--order", type=int, default=4, help="of the longest n-grams (default: 4, as in the paper)")
    parser.add_argument(
        "--prune",
        type=int,
        nargs="+",
        default=[],
        metavar="N",
        help="leave out n-grams seen N times or less; one value an order, the last for all higher ones (default: none)",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="(default: DATA/ngram_lm/SPLIT.LANG.ORDERgram.arpa, or beside text)"
    )
    parser.add_argument("--lmplz", type=Path, metavar="PATH", help="let this program of KenLM estimate the model")
    parser.add_argument(
        "--perplexity", metavar="SPLIT|FILE", help="then print the model's perplexity on this split, or text file"
    )
    parser.add_argument("--dry-run", action="store_true", help="check everything and say what would be done")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    text = LmText.resolve(options.data, options.split, options.lang)
    held_out = _held_out(options, text)
    output = options.output or Path(f"{text.default_output_stem}.{options.order}gram.arpa")
    if output.is_dir():
        raise UserError(f"--output {output} is a folder: name a file.")
    if options.lmplz and not os.access(options.lmplz, os.X_OK):
        raise UserError(f"--lmplz {options.lmplz} is no program that can be run: name KenLM's lmplz, or drop the flag.")
    started = time.monotonic()
    sentences = list(tqdm(text.sentences(), desc="reading", unit=" sentences", disable=None))
    filled = [sentence for sentence in sentences if sentence]
    if len(filled) < len(sentences):
        print(f"{len(sentences) - len(filled)} of {len(sentences)} lines are empty and are left out")
    if options.dry_run:
        tokens = sum(map(len, filled))
        print(
            f"would estimate {options.order}-grams of {len(filled)} sentences with {tokens} tokens and write {output}"
        )
        return
    if options.lmplz:
        run_lmplz(options.lmplz, filled, options.order, options.prune, output)
    else:
        _write(estimate(corpus_of_sentences(filled), options.order, options.prune), output)
    print(f"written: {output} ({os.path.getsize(output) / 2**20:.1f} MiB, {time.monotonic() - started:.1f} s)")
    if held_out:
        print_perplexity(output, held_out)


def _held_out(options: argparse.Namespace, text: LmText) -> LmText | None:
    if not options.perplexity:
        return None
    if text.language and not Path(options.perplexity).is_file():
        return LmText.resolve(text.path, options.perplexity, text.language)
    if not Path(options.perplexity).is_file():
        raise UserError(f"--perplexity {options.perplexity} is no file: name a text of subwords.")
    return LmText(Path(options.perplexity))


def _write(model: NgramModel, output: Path) -> None:
    for k, (order, discounts) in enumerate(zip(model.orders, model.discounts, strict=True), start=1):
        note = ", which are lmplz's fallbacks: the text is too small to give some" * (k in model.fallbacks)
        print(f"{len(order.words)} {k}-grams, discounts {' '.join(f'{value:.3f}' for value in discounts)}{note}")
    total = sum(len(order.words) for order in model.orders)
    with tqdm(total=total, desc="writing", unit=" n-grams", disable=None) as progress:
        write_arpa(model, output, lambda lines: progress.update(lines) and None)


def run_lmplz(
    program: Path, sentences: Sequence[Sequence[str]], order: int, prune: Sequence[int], output: Path
) -> None:
    """Let lmplz estimate the model; ``output`` is whole or absent.

    Raises:
        UserError: it failed; the message has its last line.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".lmplz.") as folder:
        text, arpa = Path(folder) / "text", Path(folder) / "arpa"
        with open(text, "w", encoding="utf-8", newline="\n") as handle:
            handle.writelines(f"{' '.join(sentence)}\n" for sentence in sentences)
        command = [program.absolute(), "-o", order, "--discount_fallback", "--skip_symbols", "-T", f"{folder}/"]
        command += ["--text", text, "--arpa", arpa, *(["--prune", *prune] if prune else [])]
        print(f"$ {shell(command)}", flush=True)
        done = subprocess.run([str(part) for part in command], stderr=subprocess.PIPE, text=True, errors="replace")
        if done.returncode or not arpa.is_file():
            last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "it wrote nothing")
            raise UserError(f"{program} failed with status {done.returncode}: {last.strip()}")
        os.replace(arpa, output)


def print_perplexity(path: Path, text: LmText) -> None:
    """exp(-mean log p a token, ends of sentences included), and the share of tokens that the model does not know."""
    model = read_arpa(path)
    total, tokens, unknown = 0.0, 0, 0
    for sentence in tqdm(text.sentences(), desc="perplexity", unit=" sentences", disable=None):
        total += model.log_prob(sentence)
        tokens += len(sentence) + 1
        unknown += sum((word,) not in model.orders[0] for word in sentence)
    where = text.split or text.path
    print(f"perplexity on {where}: {math.exp(-total / tokens):.2f} ({tokens} tokens, {unknown} of them unknown)")


if __name__ == "__main__":
    run_main(main)
