"""kill -9 at random moments, the same command again, and the comparison with a project that was left in peace."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tests.end_to_end.commands import ROOT
from tests.preloaded import PYTHON
from tests.scripts.tiny_training import wait_until_gone
from tests.soak import pipeline
from tests.soak.pipeline import Job, Scale

LONGEST = 900.0  # seconds that a command may take on a busy machine
MOMENTS = ("at any time", "just after a save", "while something is written")
_LOOK = 0.002  # seconds between two looks at the disk


class Broken(AssertionError):
    """Something was lost, or a command failed."""


@dataclass
class Soak:
    """Kills until there were enough.

    Args:
        folder: where the projects lie, and what the last command said.
        seed: decides which moments are aimed at; where in its work a command is then depends on the machine too.
        programs: of :mod:`tests.preloaded`: no kill is aimed at the seconds in which a command imports torch.
    """

    folder: Path
    scale: Scale
    seed: int
    programs: Path
    killed: dict[str, int] = field(default_factory=dict)
    """Kills by job and moment."""
    seconds: dict[str, float] = field(default_factory=dict)
    """What each job took when nobody disturbed it."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        pipeline.write_corpus(self.folder / "text", self.scale)
        self._jobs = pipeline.jobs(self.scale, self.folder / "text")

    @property
    def kills(self) -> int:
        return sum(self.killed.values())

    def run(self, kills: int, of_a_project: int) -> None:
        """Make a project in peace, then others that are killed ``of_a_project`` times each, until there were ``kills``.

        Raises:
            Broken: a command failed, something that was saved is lost, or a project is not like the first.
        """
        whole = self._new("whole")
        for job in self._jobs:
            started = time.monotonic()
            self._finish(job, whole)
            self.seconds[job.name] = time.monotonic() - started
        for number in count(1):
            if self.kills >= kills:
                break
            project = self._new(f"killed{number}")
            self._make(project, min(of_a_project, kills - self.kills))
            found = pipeline.differences(whole, project)
            if found:
                raise self._broken(f"{project} is not like {whole}: {'; '.join(found)}")
            print(f"{project.name} is like the one that was left in peace ({self.kills} kills in all)", flush=True)

    def _new(self, name: str) -> Path:
        (self.folder / name).mkdir()
        return self.folder / name

    def _make(self, project: Path, kills: int) -> None:
        """All jobs, with their share of the kills; those that a job ends too early for are left to the next ones."""
        before = self.kills
        for place, job in enumerate(self._jobs, start=1):
            wanted = kills * place // len(self._jobs) - (self.kills - before)
            if all(self._kill(job, project) for _ in range(wanted)):
                self._finish(job, project)

    def _kill(self, job: Job, project: Path) -> bool:
        """Start the job and kill it with everything that it started; False if it came to its end before."""
        moment, patience = self._random.choice(MOMENTS), self._random.random()
        saved = job.units(project)
        with open(self.folder / "output.txt", "w", encoding="utf-8") as output:
            process = self._start(job, project, output)
            if self._wait_for(moment, patience, job, project, process):
                _kill_group(process)
        if process.returncode not in (0, -signal.SIGKILL):
            raise self._broken(f"{job.name} failed: {self._output()}")
        now = self._check(job, project, saved)
        if process.returncode == 0:
            return False
        self.killed[f"{job.name}, {moment}"] = self.killed.get(f"{job.name}, {moment}", 0) + 1
        print(f"kill {self.kills}: {job.name}, {moment}; {job.describe(now)}", flush=True)
        return True

    def _finish(self, job: Job, project: Path) -> None:
        saved = job.units(project)
        with open(self.folder / "output.txt", "w", encoding="utf-8") as output:
            process = self._start(job, project, output)
            try:
                process.wait(LONGEST)
            except subprocess.TimeoutExpired as error:
                _kill_group(process)
                raise self._broken(f"{job.name} took longer than {LONGEST:.0f} s: {self._output()}") from error
        if process.returncode:
            raise self._broken(f"{job.name} failed: {self._output()}")
        self._check(job, project, saved)

    def _check(self, job: Job, project: Path, saved: dict[str, Any]) -> dict[str, Any]:
        """What is saved now.

        Raises:
            Broken: something of ``saved`` is gone, or was done again.
        """
        now = job.units(project)
        lost = job.lost(saved, now)
        if lost:
            raise self._broken(f"{job.name} in {project} lost {', '.join(lost)}")
        return now

    def _broken(self, what: str) -> Broken:
        return Broken(f"seed {self.seed}, after {self.kills} kills: {what}")

    def _output(self) -> str:
        return (self.folder / "output.txt").read_text(encoding="utf-8", errors="replace")[-4000:]

    def _start(self, job: Job, project: Path, output: Any) -> subprocess.Popen[bytes]:
        script, *words = job.command
        return subprocess.Popen(
            [str(self.programs / PYTHON), str(ROOT / "scripts" / script), *words],
            cwd=project,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=os.setpgrp,
        )

    def _wait_for(
        self, moment: str, patience: float, job: Job, project: Path, process: subprocess.Popen[bytes]
    ) -> bool:
        """Wait for the moment, but not before the job's first saved progress; False if it has ended before.

        Args:
            patience: from 0 to 1: how far into the moment.
        """
        written, saved = set(pipeline.leftovers(project)), job.marks(project)
        if not _until(lambda: bool(job.marks(project)), process):
            return False
        if moment == "at any time":
            return _until(_after(patience * self.seconds[job.name]), process)
        if moment == "just after a save":
            return _until(lambda: job.marks(project) != saved, process) and _until(_after(0.1 * patience**2), process)
        return _until(lambda: not written.issuperset(pipeline.leftovers(project)), process) and _until(
            _after(0.03 * patience**2), process
        )


def _after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def _until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> bool:
    """Wait for the condition; False if the process has ended before, True also where it never comes."""
    too_long = _after(LONGEST)
    while not (condition() or too_long()):
        if process.poll() is not None:
            return False
        time.sleep(_LOOK)
    return process.poll() is None


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """kill -9 to the process and all that it started, and wait until they are gone."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    wait_until_gone(process.pid, seconds=10)
