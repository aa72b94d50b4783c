"""What was found, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple


class Level(Enum):
    """How bad it is."""

    GOOD = "ok"
    NOTE = "note"
    """A choice or a lack that explains a number; nothing is broken."""
    PROBLEM = "PROBLEM"
    """What is trained or measured with this cannot be trusted, or will fail."""


class Finding(NamedTuple):
    """One sentence about one subject."""

    level: Level
    text: str
    remedy: str = ""
    """What to do, or how to find out more; every problem has one."""


def good(text: str) -> Finding:
    """All is well."""
    return Finding(Level.GOOD, text)


def note(text: str, remedy: str = "") -> Finding:
    """Worth knowing."""
    return Finding(Level.NOTE, text, remedy)


def problem(text: str, remedy: str) -> Finding:
    """Something is wrong."""
    return Finding(Level.PROBLEM, text, remedy)


def in_words(subject: str, findings: Iterable[Finding]) -> Iterator[str]:
    """A heading and a line for each finding, its remedy below it."""
    yield subject
    for finding in findings:
        yield f"  {finding.level.value + ':':<9}{finding.text}"
        if finding.remedy:
            yield f"{'':11}→ {finding.remedy}"
