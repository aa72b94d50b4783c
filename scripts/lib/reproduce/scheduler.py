"""Does the steps of a graph: several at once, none twice, and all that does not hang on one that failed."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from nat_plugin.errors import UserError
from nat_plugin.processors import cores
from scripts.lib import launch, steps
from scripts.lib.reproduce.steps import Graph, Step

_PAUSE_SECONDS = 0.2


@dataclass
class _Running:
    step: Step
    process: subprocess.Popen[bytes]
    started: float
    slot: int
    log: Path | None


@dataclass
class Scheduler:
    """Works through steps.

    Args:
        graph: of all steps.
        jobs: how many steps run side by side.
        logs: where the output of steps goes that run side by side.
        threads: of the processor, for each; by default a fair share of the cores.
        gpus: how many to spread the steps over.
        on_done: called after each step that is done.
    """

    graph: Graph
    jobs: int
    logs: Path
    threads: int | None = None
    gpus: int = 0
    on_done: Callable[[Step], None] = lambda step: None
    done: dict[str, float] = field(default_factory=dict)
    """Key → when its results were made, of steps that are done."""
    failed: dict[str, str] = field(default_factory=dict)
    """Key → why, of steps that were tried."""
    hindered: dict[str, str] = field(default_factory=dict)
    """Key → the step that it waits for, of steps that could not be tried."""

    def work(self, wanted: Mapping[str, Step]) -> None:
        """Do all steps that are not done; those that fail are noted, and others go on.

        Args:
            wanted: with all that they need, in the order in which they are preferred.
        """
        waiting = dict(wanted)
        running: dict[str, _Running] = {}
        try:
            while waiting or running:
                self._start_what_can(waiting, running)
                if running:
                    self._collect(running)
        finally:
            launch.stop([each.process for each in running.values()])  # type: ignore[misc]

    def _start_what_can(self, waiting: dict[str, Step], running: dict[str, _Running]) -> None:
        moved = True
        while moved:  # what is done already may set others free
            moved = False
            for key, step in list(waiting.items()):
                blocked = next((need for need in step.needs if need in self.failed or need in self.hindered), None)
                if blocked:
                    self.hindered[key] = self.graph.steps[self.hindered.get(blocked, blocked)].key
                    del waiting[key]
                    moved = True
                elif all(need in self.done for need in step.needs):
                    moved |= self._take(step, waiting, running)

    def _take(self, step: Step, waiting: dict[str, Step], running: dict[str, _Running]) -> bool:
        """Whether the step has left ``waiting``."""
        made_of = max((self.done[need] for need in step.needs), default=0.0)
        made_at = step.made_at()
        if made_at is not None and made_at >= made_of:
            print(f"done already: {step.title}", flush=True)
            self.done[step.key] = made_at
            self.on_done(step)
        elif not self._has_room(step, running):
            return False
        else:
            try:
                step.check_start(made_of)
            except UserError as error:
                self._fail(step, str(error))
            else:
                running[step.key] = self._start(step, running)
        del waiting[step.key]
        return True

    def _has_room(self, step: Step, running: Mapping[str, _Running]) -> bool:
        if step.is_alone or any(each.step.is_alone for each in running.values()):
            return not running
        return len(running) < self.jobs

    def _start(self, step: Step, running: Mapping[str, _Running]) -> _Running:
        slot = min(set(range(self.jobs)) - {each.slot for each in running.values()})
        environment = {}
        if self.gpus and self.jobs > 1:
            named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
            devices = named or [str(number) for number in range(self.gpus)]
            if not step.is_alone:
                environment["CUDA_VISIBLE_DEVICES"] = devices[slot % len(devices)]
        threads = self.threads or max(1, cores() // (1 if step.is_alone else self.jobs))
        print(f"\n=== {step.title}", flush=True)
        log, output = self._open_log(step)
        try:
            process = steps.start(step.command, threads, environment=environment, output=output)
        finally:
            if output:
                output.close()
        return _Running(step, process, time.monotonic(), slot, log)

    def _open_log(self, step: Step) -> tuple[Path | None, IO[bytes] | None]:
        if self.jobs == 1:
            return None, None
        self.logs.mkdir(parents=True, exist_ok=True)
        path = self.logs / f"{re.sub(r'[^A-Za-z0-9_.+=-]+', '-', step.key)}.log"
        print(f"    its output: {path}", flush=True)
        return path, open(path, "ab")

    def _collect(self, running: dict[str, _Running]) -> None:
        time.sleep(_PAUSE_SECONDS)
        for key, each in list(running.items()):
            status = each.process.poll()
            if status is None:
                continue
            del running[key]
            seconds = time.monotonic() - each.started
            if status:
                where = f"its message stands in {each.log}" if each.log else "its message stands above"
                self._fail(each.step, f"scripts/{each.step.command[0]} failed: {where}")
                continue
            each.step.note()
            made_at = each.step.made_at()
            if made_at is None:
                self._fail(
                    each.step, f"scripts/{each.step.command[0]} ended well, but {_missing(each.step)} is not there"
                )
                continue
            print(f"    {seconds:.0f} s: {each.step.title}", flush=True)
            # Not the time at which it ended: a script that found nothing to do leaves its result as it is, and what
            # is made of that does not get old.
            self.done[key] = made_at
            self.on_done(each.step)

    def _fail(self, step: Step, why: str) -> None:
        print(f"    failed: {step.title}: {why}", flush=True)
        self.failed[step.key] = why

    def check(self) -> None:
        """Say what could not be done.

        Raises:
            UserError: something could not.
        """
        if not self.failed:
            return
        reasons = "; ".join(f"{self.graph.steps[key].title}: {why}" for key, why in self.failed.items())
        more = f" ({len(self.hindered)} more steps wait for that)" if self.hindered else ""
        raise UserError(f"{len(self.failed)} step(s) failed{more}; the same command goes on from there. {reasons}")


def _missing(step: Step) -> Path:
    return next((each for each in (step.result, *step.others) if not each.is_file()), step.result)
