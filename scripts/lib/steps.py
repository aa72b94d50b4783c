"""Our own scripts, run one after another or side by side by a script that does a larger job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from nat_plugin.errors import UserError
from scripts.lib.cli import shell
from scripts.lib.launch import die_with_parent
from scripts.lib.results import Row
from scripts.lib.runs import Run

SCRIPTS = Path(__file__).resolve().parents[1]


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a part of the work, and say how long it took."""
    print(f"\n=== {title}", flush=True)
    started = time.monotonic()
    yield
    print(f"    {time.monotonic() - started:.0f} s", flush=True)


def run(script: str, *arguments: object, threads: int | None = None) -> None:
    """Run one of our scripts.

    Args:
        script: a file of scripts/, such as ``train.py``.
        threads: of the processor; by default those that this process was given, or one.

    Raises:
        UserError: it failed; it has said why.
    """
    command = [script, *map(str, arguments)]
    if start(command, threads).wait():
        raise UserError(f"scripts/{script} failed: its message stands above; the same command goes on from there.")


def once(of: Run, result: str, command: Sequence[str], threads: int | None) -> None:
    """Run a script that writes RUN/results/``result``, unless that is there and younger than the checkpoint."""
    path = of.folder / "results" / result
    if path.is_file() and path.stat().st_mtime >= of.chosen_checkpoint().stat().st_mtime:
        print(f"{path} is there already, made of this checkpoint")
        return
    run(*command, threads=threads)


def read_row(of: Run, result: str) -> Row:
    """The one row of a file in RUN/results."""
    [row] = json.loads((of.folder / "results" / result).read_text(encoding="utf-8"))
    return dict(row)


def run_together(commands: Sequence[Sequence[str]], processors: int) -> None:
    """Run several of our scripts: all at once where each can have a processor, one after the other elsewhere.

    Raises:
        UserError: one failed; it has said why.
    """
    if processors < len(commands):
        for command in commands:
            run(*command)
        return
    running = [(command, start(command, threads=processors // len(commands))) for command in commands]
    failed = [command for command, process in running if process.wait()]
    if failed:
        raise UserError(f"`{shell(['scripts/' + failed[0][0], *failed[0][1:]])}` failed: its message stands above.")


def start(
    command: Sequence[str],
    threads: int | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    output: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Print a command as a user would type it, and begin it; it ends when this process does, however that is killed.

    Args:
        threads: of the processor; by default those that this process was given, or one.
        environment: further variables.
        output: where what it prints goes, both streams; by default where this process's goes.
    """
    script, *arguments = command
    shown = arguments if len(arguments) < 20 else [*arguments[:19], "…"]
    print(f"$ scripts/{script} {shell(shown)}", flush=True)
    given = {"OMP_NUM_THREADS": str(threads)} if threads else {}
    return subprocess.Popen(
        [sys.executable, str(SCRIPTS / script), *arguments],
        env={"OMP_NUM_THREADS": "1", **os.environ, **given, **(environment or {})},
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        preexec_fn=die_with_parent,
    )
