#!/usr/bin/env python3
"""What CTC beam search costs beside greedy decoding: milliseconds a sentence, without the model.

    scripts/benchmark_ctc_beam.py                                        # V = 8000, 60 and 90 slots, beam 20
    scripts/benchmark_ctc_beam.py --slots 60 --beam 20 100 --tokens 5 --workers 1 2 --output results/ctc_beam.json

Canvases are invented: every slot has one clear favourite, which is the blank in two of three slots, over random
alternatives. The language models are real ones of invented text with a natural distribution of words. Each figure is
the median over --repeats of the wall time for all sentences, with the smallest and the largest.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor

from nat_plugin.decoding.ctc_beam import CtcBeamDecoder, CtcBeamOptions
from nat_plugin.decoding.ngram_lm import corpus_of_sentences, estimate, write_arpa
from nat_plugin.errors import UserError
from nat_plugin.files import write_json
from scripts.lib.cli import run_main, script_parser
from scripts.lib.generation import default_threads

BLANK_SHARE = 2 / 3
FAVOURITE = 12.0  # how many nats a slot's favourite stands above the mean of the others
SPREAD = 2.0  # their standard deviation
LM_SENTENCES = 29_000  # as many as Multi30k has
LM_LENGTH = 15


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--vocabulary", type=int, default=8000, help="subwords, blank included (default: 8000)")
    parser.add_argument("--slots", type=int, nargs="+", default=[60, 90], help="of each canvas (default: 60 90)")
    parser.add_argument("--beam", type=int, nargs="+", default=[20], help="--ctc-beam (default: 20)")
    parser.add_argument("--tokens", type=int, nargs="+", default=[5, 20], help="--ctc-beam-tokens (default: 5 20)")
    parser.add_argument("--order", type=int, nargs="*", default=[3, 4], help="of language models (default: 3 4)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1], help="--ctc-workers (default: 1)")
    parser.add_argument("--sentences", type=int, default=50, help="decoded as one batch (default: 50)")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs, after one that is not (default: 5)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write the rows as JSON")
    options = parser.parse_args(arguments)
    for name in ("vocabulary", "sentences", "repeats", *("slots", "beam", "tokens", "order", "workers")):
        values = getattr(options, name)
        if min(values if isinstance(values, list) else [values], default=1) < (3 if name == "vocabulary" else 1):
            raise UserError(f"--{name} is too small: see --help for usual values.")
    return options


def canvases(sentences: int, slots: int, vocabulary: int) -> Tensor:
    """Log-probabilities [B, m, V]; the last token is the blank."""
    generator = torch.Generator().manual_seed(slots)
    logits = torch.randn(sentences, slots, vocabulary, generator=generator) * SPREAD
    favourites = torch.randint(0, vocabulary - 1, (sentences, slots, 1), generator=generator)
    blank = torch.rand(sentences, slots, 1, generator=generator) < BLANK_SHARE
    favourites = favourites.masked_fill(blank, vocabulary - 1)
    return logits.scatter_add_(2, favourites, torch.full(favourites.shape, FAVOURITE)).log_softmax(-1)


def greedy(lprobs: Tensor, blank_idx: int) -> list[list[int]]:
    """Best token of each slot, repeats merged, blanks dropped."""
    best = lprobs.argmax(-1)
    kept = best != blank_idx
    kept[:, 1:] &= best[:, 1:] != best[:, :-1]
    return [row[keep].tolist() for row, keep in zip(best, kept, strict=True)]


def write_language_models(orders: Sequence[int], symbols: Sequence[str], folder: Path) -> dict[int, Path]:
    """One ARPA file an order, all of the same text in which the r-th word has a frequency of about 1/r."""
    if not orders:
        return {}
    frequencies = 1 / np.arange(1, len(symbols))
    words = np.random.default_rng(1).choice(
        len(symbols) - 1, size=(LM_SENTENCES, LM_LENGTH), p=frequencies / frequencies.sum()
    )
    corpus = corpus_of_sentences([symbols[word] for word in sentence] for sentence in words.tolist())
    paths = {order: folder / f"{order}gram.arpa" for order in orders}
    for order, path in paths.items():
        write_arpa(estimate(corpus, order), path)
    return paths


def milliseconds(decode: Callable[[], Any], sentences: int, repeats: int) -> dict[str, float]:
    """Wall time a sentence: median, smallest and largest of ``repeats`` runs."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        decode()
        times.append(1000 * (time.perf_counter() - started) / sentences)
    return {"ms": statistics.median(times[1:]), "least": min(times[1:]), "most": max(times[1:])}


def measure(options: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """One row a configuration."""
    symbols = [f"t{index}" for index in range(options.vocabulary - 1)] + ["<blank>"]
    blank = len(symbols) - 1
    paths = write_language_models(options.order, symbols, folder)
    for slots in options.slots:
        lprobs = canvases(options.sentences, slots, options.vocabulary)
        lengths = torch.full((options.sentences,), slots)
        timed = milliseconds(partial(greedy, lprobs, blank), options.sentences, options.repeats)
        yield {"slots": slots, "search": "greedy", **timed}
        for beam, tokens, order, workers in product(options.beam, options.tokens, (0, *options.order), options.workers):
            decoding = CtcBeamOptions(beam, tokens, workers=workers)
            if order:
                decoding = replace(decoding, lm_path=str(paths[order]), lm_weight=0.4, token_bonus=2.2)
            decoder = CtcBeamDecoder(symbols, blank, decoding)
            timed = milliseconds(partial(decoder.decode, lprobs, lengths), options.sentences, options.repeats)
            decoder.close()
            name = f"beam {beam}" + (f" + {order}-gram" if order else "")
            yield {"slots": slots, "search": name, "tokens": tokens, "workers": workers, **timed}


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    threads = default_threads()
    torch.set_num_threads(threads)
    rows = []
    with tempfile.TemporaryDirectory(prefix="ctc_beam.") as folder:
        for row in measure(options, Path(folder)):
            rows.append(row)
            print(f"{row['search']}, {row['slots']} slots: {row['ms']:.2f} ms", file=sys.stderr)
    headers = ["slots", "search", "tokens a slot", "workers", "ms/sentence", "from", "to"]
    keys = ("slots", "search", "tokens", "workers")
    body = [
        [*(row.get(key, "") for key in keys), *(f"{row[key]:.2f}" for key in ("ms", "least", "most"))] for row in rows
    ]
    print(tabulate(body, headers, disable_numparse=True))
    setting = (
        f"V = {options.vocabulary}, {options.sentences} sentences, {options.repeats} runs, {threads} threads of torch"
    )
    print(f"{setting}, torch {torch.__version__}")
    if options.output:
        write_json(options.output, {"setting": setting, "torch": torch.__version__, "rows": rows})


if __name__ == "__main__":
    run_main(main)
