#!/usr/bin/env python3
"""Send another of these scripts to SLURM (by submitit): nodes, GPUs and hours as flags; what ends too early goes on.

    scripts/submit.py --nodes 2 --gpus-per-node 8 --hours 24 --partition gpu \\
        train.py data=data-bin/wmt14_en_de_kd method=ctc_glat size=base budget=paper machine=h200
    scripts/submit.py --nodes 4 --gpus-per-node 8 --hours 8 distill.py RUN --fp16
    scripts/submit.py --cluster local --wait train.py data=generated method=ctc size=demo budget=demo  # on this machine

Each node runs the command once, with all of its GPUs: scripts/train.py and scripts/distill.py find the others by what
SLURM says. When the time is over, or the job is preempted, the same command is queued again (--requeues times at most
for the time; as often as it takes for preemption) and goes on from its last checkpoint or shard. What the command
prints is in LOGS/JOB_NODE_log.out. Nothing is copied: the nodes share this folder.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from nat_plugin.errors import UserError
from scripts.lib.analysis_options import check_least
from scripts.lib.cli import run_main, script_parser, shell

SCRIPTS = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Command:
    """A script and its arguments, as a job that can be queued again.

    Attributes:
        words: a file of scripts/, then its arguments.
        folder: where it is run.
    """

    words: tuple[str, ...]
    folder: str

    def __call__(self) -> int:
        """Run it on one node.

        Raises:
            RuntimeError: it failed; it has said why.
        """
        script, *arguments = self.words
        print(f"$ scripts/{shell(self.words)}", flush=True)
        status = subprocess.run([sys.executable, str(SCRIPTS / script), *arguments], cwd=self.folder).returncode
        if status:
            raise RuntimeError(f"scripts/{script} ended with status {status}: its message stands above.")
        return status

    def checkpoint(self) -> Any:
        """What submitit queues when the time is over or the job is preempted: the same again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: a number is out of range, a pair has no value, or there is no such script.
    """
    parser = script_parser(__doc__)
    parser.add_argument("--cluster", choices=("slurm", "local"), default="slurm", help="default: slurm")
    parser.add_argument("--nodes", type=int, default=1, help="default: 1")
    parser.add_argument("--gpus-per-node", type=int, default=0, metavar="N", help="default: 0, a job for CPUs")
    parser.add_argument("--cpus-per-node", type=int, metavar="N", help="default: 8 a GPU, or 2 without one")
    parser.add_argument("--memory", type=float, metavar="GIB", help="of a node (default: the cluster's)")
    parser.add_argument("--hours", type=float, default=24.0, help="before it is queued again (default: 24)")
    parser.add_argument("--requeues", type=int, default=10, help="at most, for want of time (default: 10)")
    parser.add_argument("--partition", help="default: the cluster's")
    parser.add_argument("--name", help="of the job (default: the script's)")
    parser.add_argument("--logs", type=Path, default=Path("logs"), metavar="DIR", help="default: logs")
    parser.add_argument(
        "--slurm",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="more for sbatch, such as account=nlp; may be given several times",
    )
    parser.add_argument("--wait", action="store_true", help="until the job has ended; exit as it did")
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="SCRIPT …", help="a file of scripts/, its arguments"
    )
    options = parser.parse_args(arguments)
    check_least(options, {"nodes": 1, "gpus_per_node": 0, "cpus_per_node": 1, "requeues": 0})
    for name in ("hours", "memory"):
        value = getattr(options, name)
        if value is not None and not 0 < value < math.inf:
            raise UserError(f"--{name} must be above 0, not {value:g}.")
    if options.cluster == "local" and options.nodes > 1:
        raise UserError("--cluster local is this machine alone: leave --nodes at 1.")
    if unclear := [pair for pair in options.slurm if not pair.partition("=")[2]]:
        raise UserError(f"--slurm {unclear[0]} has no value: write KEY=VALUE.")
    if not options.command:
        raise UserError("there is nothing to run: name a script, such as train.py, and its arguments.")
    script = options.command[0].removeprefix("scripts/")
    if not (SCRIPTS / script).is_file():
        raise UserError(f"there is no scripts/{script} to run: see README.md for what there is.")
    options.command[0] = script
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_arguments(arguments)
    executor = make_executor(options)
    # The job's Python reads this file again, wherever it is started.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(SCRIPTS.parent), os.environ.get("PYTHONPATH"))))
    job = executor.submit(Command(tuple(options.command), os.getcwd()))
    print(f"job {job.job_id}: scripts/{shell(options.command)}\nits output: {job.paths.stdout}", flush=True)
    if not options.wait:
        return 0
    job.wait()
    if job.exception() is None:
        return 0
    print(f"error: the job ended too early; see {job.paths.stdout} and {job.paths.stderr}.", file=sys.stderr)
    return 1


def make_executor(options: argparse.Namespace) -> Any:
    """submitit's executor for the cluster, set up.

    Raises:
        UserError: submitit is not installed, or there is no SLURM here.
    """
    try:
        import submitit
    except ImportError as error:
        raise UserError("sending jobs needs submitit: pip install '.[slurm]'.") from error
    try:
        executor = submitit.AutoExecutor(
            folder=options.logs, cluster=options.cluster, slurm_max_num_timeout=options.requeues
        )
    except RuntimeError as error:  # no sbatch on this machine
        raise UserError("there is no SLURM here (sbatch is not found): run this on its login node.") from error
    executor.update_parameters(
        name=options.name or Path(options.command[0]).stem,
        nodes=options.nodes,
        tasks_per_node=1,
        gpus_per_node=options.gpus_per_node,
        cpus_per_task=options.cpus_per_node or 8 * options.gpus_per_node or 2,
        timeout_min=math.ceil(60 * options.hours),
    )
    if options.memory:
        executor.update_parameters(mem_gb=options.memory)
    if options.cluster == "slurm":
        more = dict(pair.split("=", 1) for pair in options.slurm)
        named = {"slurm_partition": options.partition} if options.partition else {}
        executor.update_parameters(**named, slurm_additional_parameters=more)
    return executor


if __name__ == "__main__":
    run_main(main)
