#!/usr/bin/env python3
"""Trainings on a CPU whose process keeps the memory it frees, against the same ones with glibc's malloc as it is.

    benchmarks/freed_memory.py                     tiny models on Multi30k (or: make benchmark-freed-memory)
    benchmarks/freed_memory.py --methods teacher ctc --pairs 5 batch_tokens=4096 size=small
    benchmarks/freed_memory.py --data generated --pairs 1 size=demo budget=demo fairseq.max_update=20

Each training is scripts/train.py's, in a process of its own; the two kinds take turns (A B A B …) and the median of the
ratios counts. The speed is that of fairseq's log in the second half of the updates, the memory the largest that one of
the processes ever held. Figures are saved in results/benchmark_freed_memory.json.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.malloc import VARIABLES
from benchmarks.pivot import markdown
from nat_plugin.errors import UserError
from nat_plugin.files import write_json
from scripts.lib.cli import run_main, script_parser, shell
from scripts.lib.heap import heap_variables
from scripts.lib.measuring.machine import describe_in_words, describe_machine
from scripts.lib.measuring.timing import spread
from scripts.lib.pages import replace_block

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "results" / "benchmark_freed_memory.json"
METHODS = ("teacher", "cmlm_axe", "ctc")
SETTINGS = ("size=tiny", "budget=cpu", "batch_tokens=1024")
_UPDATES = 100
_SPEED = re.compile(r'"update": .*"ups": "([\d.]+)"')


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = script_parser(__doc__)
    parser.add_argument("settings", nargs="*", metavar="key=value", help=f"for scripts/train.py, after {SETTINGS}")
    parser.add_argument("--data", default="multi30k_en_de", help="a file of configs/data (default: %(default)s)")
    parser.add_argument("--methods", nargs="+", default=METHODS, metavar="METHOD", help=f"default: {' '.join(METHODS)}")
    parser.add_argument("--pairs", type=int, default=3, help="trainings of each kind and method (default: 3)")
    parser.add_argument("--threads", type=int, default=1, help="of each training (default: 1)")
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"default: {OUTPUT.relative_to(ROOT)}")
    parser.add_argument("--docs", type=Path, metavar="PAGE", help="put the table into this page's marked block")
    options = parser.parse_intermixed_args(arguments)
    if min(options.pairs, options.threads) < 1:
        raise UserError("--pairs and --threads must be at least 1.")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    results: dict[str, Any] = {
        "command": shell(["benchmarks/freed_memory.py", *(sys.argv[1:] if arguments is None else arguments)]),
        "machine": describe_machine("cpu"),
        "threads": options.threads,
        "clock": "wall",
        "data": options.data,
        "settings": [*SETTINGS, *options.settings],
        "rows": [],
    }
    for method in options.methods:
        results["rows"].append(compare(method, options))
        write_json(options.output, results)
    print(f"\n{render(results)}\n\nsaved in {options.output}")
    if options.docs:
        replace_block(options.docs, "freed-memory", render(results))
        print(f"the table is in {options.docs}")


def compare(method: str, options: argparse.Namespace) -> dict[str, Any]:
    """A method's trainings of both kinds, in turn."""
    speedups, memory, kept_speeds, default_speeds = [], [], [], []
    for _ in range(options.pairs):
        default_speed, default_peak = train(method, False, options)
        kept_speed, kept_peak = train(method, True, options)
        speedups.append(kept_speed / default_speed)
        memory.append(kept_peak / default_peak)
        default_speeds.append(default_speed)
        kept_speeds.append(kept_speed)
        print(f"{method}: {speedups[-1]:.3f} times as fast, {memory[-1]:.3f} times the memory", file=sys.stderr)
    speedup = spread(speedups)
    return {
        "method": method,
        "speedup": speedup.median,
        "speedup_quartiles": [speedup.low, speedup.high],
        "memory_ratio": spread(memory).median,
        "updates_per_second": spread(kept_speeds).median,
        "baseline_updates_per_second": spread(default_speeds).median,
        "pairs": options.pairs,
    }


def train(method: str, keeps: bool, options: argparse.Namespace) -> tuple[float, int]:
    """Updates a second, and the most memory of a process in bytes.

    Raises:
        UserError: the training failed, was too short to have a speed, or the environment has a malloc of its own.
    """
    with tempfile.TemporaryDirectory(prefix="freed_memory.") as folder:
        words = [f"data={options.data}", f"method={method}", f"run={folder}/run", "machine=cpu"]
        words += [f"machine.keep_freed_memory={str(keeps).lower()}", *SETTINGS]
        words += [f"fairseq.max_update={_UPDATES}", *options.settings]
        updates = int(words[_last(words, "fairseq.max_update=")].partition("=")[2])
        words += ["average.kind=none", "fairseq.no_save=true", f"fairseq.log_interval={max(1, updates // 2)}"]
        environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        environment["OMP_NUM_THREADS"] = str(options.threads)
        if not heap_variables(environment):
            raise UserError("the environment tunes malloc or takes another: unset that, or both kinds are alike.")
        log = Path(folder) / "output"
        with log.open("w", encoding="utf-8") as handle:
            process = subprocess.Popen(
                [sys.executable, ROOT / "scripts" / "train.py", *words],
                cwd=ROOT,
                env=environment,
                stdout=handle,
                stderr=subprocess.STDOUT,
            )
            # os.wait4 alone says what this child and its own children held; Popen.wait would lose it
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise UserError(f"the training of {method} failed: {''.join(last)}")
        speeds = _SPEED.findall((Path(folder) / "run" / "train.log").read_text(encoding="utf-8"))
    if len(speeds) < 2:
        raise UserError(f"{updates} updates are too few to have a speed: give fairseq.max_update=20 or more.")
    return float(speeds[1]), usage.ru_maxrss * 1024


def _last(words: Sequence[str], beginning: str) -> int:
    return max(index for index, word in enumerate(words) if word.startswith(beginning))


def render(results: dict[str, Any]) -> str:
    """One row a method, as Markdown."""
    body = [
        [
            f"`{row['method']}`",
            f"{row['speedup']:.2f}",
            " – ".join(f"{value:.2f}" for value in row["speedup_quartiles"]),
            f"{row['updates_per_second']:.2f}",
            f"{row['baseline_updates_per_second']:.2f}",
            f"{row['memory_ratio']:.2f}",
        ]
        for row in results["rows"]
    ]
    headers = ["training", "times as fast", "quartiles", "updates/s", "baseline's", "× memory"]
    where = f"{describe_in_words(results)}; {results['data']}, {' '.join(results['settings'])}"
    return f"{where}. `{results['command']}`\n\n{markdown(body, headers, left=1)}"


if __name__ == "__main__":
    run_main(main)
