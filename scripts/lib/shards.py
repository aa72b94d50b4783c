"""Translates a split in small pieces, by any number of processes, each piece written once and whole."""

from __future__ import annotations

import functools
import json
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write
from nat_plugin.processors import cores
from scripts.lib.launch import die_with_parent
from scripts.lib.teacher import Teacher, TeacherOptions, Translation


@dataclass(frozen=True)
class ShardPlan:
    """How a split is cut.

    Shard k holds the sentences k, k + count, k + 2·count, …: each has the same mixture of lengths, so that the time of
    one tells the time of the rest.

    Attributes:
        folder: where the shards' files are written.
        settings: a digest of everything that decides a translation; files made under another one are made again.
        count: number of shards.
        sentences: number of sentences of the split.
    """

    folder: Path
    settings: str
    count: int
    sentences: int

    def indices(self, shard: int) -> range:
        return range(shard, self.sentences, self.count)

    def path(self, shard: int) -> Path:
        return self.folder / f"{shard:05d}.jsonl"

    def unwritten(self) -> int:
        """How many shards have no file made under these settings; whether the files are whole is not looked at."""
        return sum(not self._is_written(shard) for shard in range(self.count))

    def _is_written(self, shard: int) -> bool:
        try:
            with open(self.path(shard), encoding="utf-8") as handle:
                return bool(json.loads(handle.readline())["settings"] == self.settings)
        except (OSError, ValueError, KeyError, TypeError):
            return False


def write_shard(plan: ShardPlan, shard: int, translations: Iterable[Translation], seconds: float) -> None:
    """Write one shard's translations in the order of the sentences."""
    rows = sorted(translations, key=lambda translation: translation.index)
    header = {"settings": plan.settings, "shard": shard, "sentences": len(rows), "seconds": round(seconds, 3)}
    with atomic_write(plan.path(shard)) as handle:
        for row in [header, *map(asdict, rows)]:
            handle.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_shard(plan: ShardPlan, shard: int) -> tuple[list[Translation], float] | None:
    """The translations of a shard and the seconds they took; None if it is not there, not whole, or made otherwise."""
    try:
        with open(plan.path(shard), encoding="utf-8", newline="\n") as handle:
            header = json.loads(handle.readline())
            if header["settings"] != plan.settings:
                return None
            rows = [Translation(**json.loads(line)) for line in handle]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if [row.index for row in rows] != list(plan.indices(shard)):
        return None
    return rows, float(header["seconds"])


def translate_missing(plan: ShardPlan, shards: Sequence[int], options: TeacherOptions, devices: Sequence[str]) -> None:
    """Translate and write each of these shards that is not there yet.

    Args:
        devices: one process each: ``cpu``, or ``cuda:0``, ``cuda:1``, …. One alone works in this process.

    Raises:
        UserError: the model cannot be loaded, or a process was killed.
        OSError: a file cannot be written.
    """
    missing = [shard for shard in shards if read_shard(plan, shard) is None]
    if not missing:
        return
    total = sum(len(plan.indices(shard)) for shard in shards)
    left = sum(len(plan.indices(shard)) for shard in missing)
    # With `initial` the rate and the remaining time count only what is translated now.
    with tqdm(total=total, initial=total - left, unit=" sentences", desc="translating", smoothing=0.05) as progress:
        done = _in_this_process if len(devices) == 1 else _in_processes
        for sentences in done(plan, missing, options, devices[: len(missing)]):
            progress.update(sentences)


def _in_this_process(
    plan: ShardPlan, shards: Sequence[int], options: TeacherOptions, devices: Sequence[str]
) -> Iterator[int]:
    """Yields the sentences of each batch: a shard may take a laptop minutes."""
    worker = _Worker(plan, options, devices[0])
    for shard in shards:
        yield from worker.translate(shard)


def _in_processes(
    plan: ShardPlan, shards: Sequence[int], options: TeacherOptions, devices: Sequence[str]
) -> Iterator[int]:
    context = multiprocessing.get_context("spawn")  # neither CUDA nor OpenMP survive a fork
    free_devices = context.SimpleQueue()
    for device in devices:
        free_devices.put(device)
    threads = max(1, cores() // len(devices))
    pool = ProcessPoolExecutor(len(devices), context, _start_worker, (plan, options, free_devices, threads))
    with _shut_down(pool):
        for future in as_completed([pool.submit(_translate, shard) for shard in shards]):
            yield future.result()


@contextmanager
def _shut_down(pool: ProcessPoolExecutor) -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise UserError(
            "a translating process ended before its time, most likely because memory ran out: lower --max-tokens or "
            "--processes and run the same command again; finished shards are kept."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


class _Worker:
    def __init__(self, plan: ShardPlan, options: TeacherOptions, device: str) -> None:
        self._plan = plan
        self._teacher = Teacher(options, torch.device(device))
        if len(self._teacher) != plan.sentences:
            raise UserError(
                f"{options.data} has {len(self._teacher)} sentences in split {options.split}, not {plan.sentences}: "
                "prepare the data again."
            )

    def translate(self, shard: int) -> Iterator[int]:
        """Translate and write a shard; yields how many sentences each batch has brought."""
        start = time.perf_counter()
        translations: list[Translation] = []
        for batch in self._teacher.translate(self._plan.indices(shard)):
            translations += batch
            yield len(batch)
        write_shard(self._plan, shard, translations, time.perf_counter() - start)


# Set in each process of a pool: loads the model on its first call, so that an error reaches the caller as it is.
_worker: Callable[[], _Worker]


def _start_worker(plan: ShardPlan, options: TeacherOptions, free_devices: Any, threads: int) -> None:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once and in silence: the parent speaks
    torch.set_num_threads(threads)
    global _worker
    _worker = functools.cache(functools.partial(_Worker, plan, options, free_devices.get()))


def _translate(shard: int) -> int:
    return sum(_worker().translate(shard))
