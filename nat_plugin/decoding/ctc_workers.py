"""Beam search in processes of its own, while this one computes the next log-probabilities.

A worker is this module run as a program that reads pickled canvases from its standard input: it imports neither torch
nor fairseq, starts in a fraction of a second, and ends when the process that started it does, however that ends.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nat_plugin.decoding.ctc_search import CtcSearch, Found, SearchOptions
from nat_plugin.errors import UserError

_PACKAGES = Path(__file__).resolve().parents[2]  # where nat_plugin lies


class SearchWorkers:
    """Several :class:`CtcSearch`, each in a process of its own.

    Args:
        symbols, blank_idx, options: as for :class:`CtcSearch`.
        count: number of processes; each loads the language model.

    Raises:
        UserError: a worker cannot start, for a reason that :class:`CtcSearch` gives.
    """

    def __init__(self, symbols: Sequence[str], blank_idx: int, options: SearchOptions, count: int) -> None:
        self._processes = [_start() for _ in range(count)]
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        # One thread a process: it sends a canvas, sleeps until the answer comes, and keeps Python free meanwhile.
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="ctc-search")
        try:
            for process in self._processes:
                _send(process, (list(symbols), blank_idx, options))
            for process in self._processes:
                _receive(process)
                self._idle.put(process)
        except BaseException:
            self.close()
            raise

    def submit(self, lprobs: NDArray[np.floating[Any]], tokens: NDArray[np.integer[Any]]) -> Future[list[Found]]:
        """Search one canvas ([m, k] each, see :meth:`CtcSearch.__call__`) in whichever process is free next."""
        return self._threads.submit(self._search, (lprobs, tokens))

    def close(self) -> None:
        """End the processes; what was submitted and not begun is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):  # what a dead process did not read
                        pipe.close()

    def _search(self, canvas: tuple[NDArray[Any], NDArray[Any]]) -> list[Found]:
        process = self._idle.get()
        try:
            _send(process, canvas)
            found: list[Found] = _receive(process)
            return found
        finally:
            self._idle.put(process)  # a dead one too: whoever takes it next is told so instead of waiting for ever


def _start() -> subprocess.Popen[bytes]:
    paths = [str(_PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )


def _send(process: subprocess.Popen[bytes], message: Any) -> None:
    assert process.stdin is not None
    try:
        pickle.dump(message, process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
        process.stdin.flush()
    except (OSError, ValueError) as error:  # a broken or a closed pipe
        raise _ended() from error


def _receive(process: subprocess.Popen[bytes]) -> Any:
    assert process.stdout is not None
    try:
        answer, failure = pickle.load(process.stdout)
    except (EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
        raise _ended() from error
    if failure is not None:
        raise UserError(failure)
    return answer


def _ended() -> UserError:
    return UserError(
        "a process of the CTC beam search was ended from outside, most likely because memory ran out: use fewer "
        "--ctc-workers (each loads the language model), and run the same command again."
    )


def _work() -> None:
    """The worker: answers (result, None), or (None, why it failed)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the process that started us answers
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not land among the answers
    search: CtcSearch | None = None
    while True:
        try:
            request = pickle.load(requests)
        except EOFError:
            return
        result = None
        failure = None
        try:
            if search is None:
                search = CtcSearch(*request)
            else:
                result = search(*request)
        except UserError as error:
            failure = str(error)
        try:
            pickle.dump((result, failure), answers, protocol=pickle.HIGHEST_PROTOCOL)
            answers.flush()
        except BrokenPipeError:
            return


if __name__ == "__main__":
    _work()
