#!/usr/bin/env python3
"""Choose decoding flags of a trained run on the validation set, and store the winner with the run.

    scripts/tune.py RUN length_multiplier                         # λ = 1.00, 1.01 … 1.10, as the AXE paper (Table 7)
    scripts/tune.py RUN length_multiplier=1.00:1.20:0.02 length_candidates=1,3,5
    scripts/tune.py RUN ctc_beam=20 ngram_lm_path=LM.arpa ngram_lm_weight token_bonus    # α and β, as Gu & Kong 2021

Every combination is one scripts/evaluate.py of the validation set; what is already in RUN/results is not done again, so
a stopped search goes on where it was. Values of token_bonus and length_bonus_form only rank what CTC beam search found,
and are tried on the n-best lists of one decoding. The winner by --metric is written to RUN/tuned.json, which
scripts/evaluate.py reads; of equal scores the first combination wins, so list the cheaper values first. The whole curve
is kept in RUN/results/tune_<flags>.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from tabulate import tabulate

from nat_plugin.errors import UserError
from nat_plugin.files import write_json
from scripts.lib.cli import run_main
from scripts.lib.evaluation import Evaluation
from scripts.lib.generation import flag_key
from scripts.lib.rescoring import NBestLists
from scripts.lib.results import Row, read_rows

DEFAULT_GRIDS = {
    "length_multiplier": "1.00:1.10:0.01",
    "length_candidates": "1,3,5,7",
    "ngram_lm_weight": "0.0:1.0:0.2",
    "token_bonus": "0.0:4.0:0.5",
}
METRICS = ("bleu", "chrf", "tokenized_bleu")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n", maxsplit=1)[0],
        epilog=__doc__.split("\n\n", maxsplit=1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="run directory of scripts/train.py")
    parser.add_argument(
        "grids", nargs="+", metavar="FLAG[=VALUES]", help="values as 1,3,5 or first:last:step (last is included)"
    )
    parser.add_argument("--metric", choices=METRICS, default="bleu", help="what is to be highest (default: bleu)")
    parser.add_argument("--split", default="valid", help="what to tune on (default: valid; never the test set)")
    parser.add_argument(
        "--checkpoint", help="file in RUN/checkpoints, or a path (default: averaged.pt, else the best, else the last)"
    )
    parser.add_argument("--threads", type=int, help="processor threads of fairseq-generate")
    return parser.parse_args(arguments)


def parse_grid(text: str) -> tuple[str, list[int | float | str]]:
    """``length_multiplier=1.0:1.1:0.05`` → the flag and its values.

    Raises:
        UserError: no values are given and none are known for the flag, or a range cannot be read.
    """
    name, _, values = text.partition("=")
    flag = flag_key(name)
    values = values or DEFAULT_GRIDS.get(flag, "")
    if not values:
        raise UserError(f"'{text}' names no values: write {name}=VALUE,VALUE… or {name}=FIRST:LAST:STEP.")
    if ":" not in values:
        return flag, [_number(value) for value in values.split(",")]
    try:
        first, last, step = (Decimal(part) for part in values.split(":"))
    except (ValueError, InvalidOperation) as error:
        raise UserError(f"'{text}' is no range: write {name}=FIRST:LAST:STEP, such as 1.00:1.10:0.01.") from error
    if step <= 0 or last < first:
        raise UserError(f"'{text}' is an empty range: FIRST must not be above LAST, and STEP must be above 0.")
    return flag, [_number(str(first + place * step)) for place in range(int((last - first) / step) + 1)]


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def evaluate_all(
    run: Path,
    grids: Sequence[tuple[str, list[int | float | str]]],
    split: str,
    threads: int | None,
    checkpoint: str | None = None,
) -> list[tuple[dict[str, Any], Row]]:
    """One row for each combination, in order; rows that the same checkpoint already has are read, not made again."""
    flags = [flag for flag, _ in grids]
    lists = NBestLists(run, split, threads, checkpoint)
    rows = []
    for values in itertools.product(*(values for _, values in grids)):
        settings = dict(zip(flags, values, strict=True))
        planned = Evaluation.plan(run, split=split, checkpoint=checkpoint, overrides=settings)
        row = _stored_row(planned)
        if row is None:
            row = lists.row(planned, settings) if lists.can_serve(planned, settings) else planned.run(threads)
        rows.append((settings, row))
    return rows


def _stored_row(planned: Evaluation) -> Row | None:
    """The row of an earlier search, if it is younger than the checkpoint and was made with the same flags."""
    path = planned.model.run.folder / "results" / f"{planned.stem}.json"
    if not path.is_file() or path.stat().st_mtime < planned.checkpoint.stat().st_mtime:
        return None
    rows = read_rows(path)
    return rows[0] if rows and rows[0].get("decoding") == planned.flags else None


def store_winner(run: Path, settings: dict[str, Any]) -> None:
    """Merge the winner into RUN/tuned.json; other tuned flags stay."""
    path = run / "tuned.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    write_json(path, before | settings)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    grids = [parse_grid(text) for text in options.grids]
    rows = evaluate_all(options.run, grids, options.split, options.threads, options.checkpoint)
    best, winner = max(rows, key=lambda entry: entry[1][options.metric])
    store_winner(options.run, best)
    flags = [flag for flag, _ in grids]
    curve = [
        settings | {key: row[key] for key in (*METRICS, "brevity_penalty", "repeated_tokens", "length_ratio")}
        for settings, row in rows
    ]
    write_json(options.run / "results" / f"tune_{'_'.join(flags)}.json", {"winner": best, "curve": curve})
    body = [
        [
            *settings.values(),
            *(f"{row[metric]:.2f}" for metric in METRICS),
            f"{row['brevity_penalty']:.3f}",
            "*" * (settings == best),
        ]
        for settings, row in rows
    ]
    print(tabulate(body, [*flags, *METRICS, "brevity", ""], disable_numparse=True))
    chosen = ", ".join(f"{flag} {value}" for flag, value in best.items())
    print(f"best {options.metric} on {options.split}: {winner[options.metric]:.2f} with {chosen}")
    print(f"stored in {options.run / 'tuned.json'}, which scripts/evaluate.py reads")


if __name__ == "__main__":
    run_main(main)
