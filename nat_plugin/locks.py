"""Locks on open files, which the system takes away however a process ends."""

from __future__ import annotations

import fcntl
import sys
from pathlib import Path
from typing import IO, Any


def take_lock(handle: IO[Any], *, wait: bool = False, tell: bool = True) -> bool:
    """Lock an open file until it is closed; False where another process has the lock.

    True also where the file system has no locks (Lustre without ``-o flock``, some network drives): work that could
    go on must not fail for want of a safeguard.

    Args:
        wait: until the other process lets go.
        tell: say so where there are no locks.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if tell:
            print(
                f"note: {Path(handle.name).parent} cannot be locked ({error.strerror or error}), so nothing keeps two "
                "processes apart that write there: start one at a time.",
                file=sys.stderr,
                flush=True,
            )
    return True
