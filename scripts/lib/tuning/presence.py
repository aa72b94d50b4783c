"""Which of the workers that share a study are still there."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from pathlib import Path

from nat_plugin.locks import take_lock

BEAT_SECONDS = 15.0
SILENT_SECONDS = 120.0
"""A worker of another machine that has not renewed its file for so long is gone."""


class Presence:
    """A file that says that this process is at work: it holds a lock on it, and renews its time.

    The system takes the lock away however the process ends, so on one machine its end is seen at once. Where another
    machine shares the folder its locks may not be visible: a worker there is gone when its lock can be taken *and* the
    file is old. Times are compared with those that the file system gives to a file of our own, not with a clock.

    Args:
        folder: a file a worker, all of them in one folder.
        beat_seconds: how often the file is renewed.
    """

    def __init__(self, folder: Path, beat_seconds: float = BEAT_SECONDS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._path = folder / self.name
        self._handle = open(self._path, "w", encoding="utf-8")  # noqa: SIM115 (closed in close)
        take_lock(self._handle, wait=True, tell=False)  # one who looks whether we are here lets go at once
        self._handle.write(_machine())
        self._handle.flush()
        self._ended = threading.Event()
        threading.Thread(target=self._beat, args=(beat_seconds,), daemon=True).start()

    def _beat(self, seconds: float) -> None:
        while not self._ended.wait(seconds):
            self._path.touch()

    def is_gone(self, name: str) -> bool:
        """Whether the worker of that name has ended."""
        if name == self.name:
            return False
        path = self._path.with_name(name)
        try:
            with open(path, "r+", encoding="utf-8") as handle:
                if not take_lock(handle, tell=False):
                    return False
                if handle.read() == _machine():
                    return True
        except FileNotFoundError:
            return True
        self._path.touch()
        return self._path.stat().st_mtime - path.stat().st_mtime > SILENT_SECONDS

    def is_alone(self) -> bool:
        """Whether nobody else is there."""
        return all(path.name == self.name or self.is_gone(path.name) for path in self._path.parent.iterdir())

    def forget(self) -> None:
        """Remove the files of those that are gone."""
        for path in self._path.parent.iterdir():
            if self.is_gone(path.name):
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Say that this process has ended its work."""
        self._ended.set()
        self._path.unlink(missing_ok=True)
        self._handle.close()


def _machine() -> str:
    """What all processes under one kernel have in common, containers included, and no others."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:  # not Linux
        return socket.gethostname()
