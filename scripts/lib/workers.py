"""Work shared among processes, with results in the order of the input and a bounded number of them in memory."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from nat_plugin.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 4  # items a worker that may wait for it, or for the reader of the results
_function: Callable[[Any], Any] | None = None


def map_in_order(
    factory: Callable[[], Callable[[Item], Result]], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Yield ``factory()(item)`` for every item, in order.

    Args:
        factory: makes the function, once in each process; it has to be picklable, the function need not be.
        workers: number of processes; 1 works in this process.

    Raises:
        UserError: a worker was killed from outside, usually for want of memory.
    """
    if workers == 1:
        yield from map(factory(), items)
        return
    pending: deque[Future[Result]] = deque()
    pool = ProcessPoolExecutor(workers, initializer=_start, initargs=(factory,))
    try:
        for item in items:
            pending.append(pool.submit(_call, item))
            if len(pending) > _AHEAD * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process was killed, most likely because memory ran out: use fewer --workers and run the same "
            "command again."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start(factory: Callable[[], Callable[[Any], Any]]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent answers it
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    global _function
    _function = factory()


def _exit_with_parent() -> None:
    """A worker waits for its next item for ever, also when its parent was killed: end then."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(item: Any) -> Any:
    assert _function is not None
    return _function(item)
