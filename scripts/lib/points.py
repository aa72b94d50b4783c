"""Measured points, kept as they come, so that a stopped analysis goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nat_plugin.files import write_json
from scripts.lib.stages import fingerprint


class PointStore:
    """A JSON file of measured points, each under a name of its own.

    Args:
        path: the file; points that were measured of something else are forgotten.
        depends_on: all that every point depends on.
    """

    def __init__(self, path: Path, depends_on: Mapping[str, Any]) -> None:
        self._path, self._key = path, fingerprint(depends_on)
        self._points: dict[str, Any] = {}
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            if saved["key"] == self._key:
                self._points = dict(saved["points"])
        except (OSError, ValueError, KeyError, TypeError):  # none yet, or written by something else
            return

    def get(self, name: str, measure: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """The point of that name; measured and saved when it is not there."""
        if name not in self._points:
            self._points[name] = dict(measure())
            write_json(self._path, {"key": self._key, "points": self._points})
        found: dict[str, Any] = self._points[name]
        return found


def file_state(path: Path) -> list[int]:
    """Size and time of writing, which change with a file's content."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]
