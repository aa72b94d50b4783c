"""The commands in the code blocks of README.md and docs/, as a shell would see them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")))
_BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ASSIGNMENTS = re.compile(r"\s*((?:\w+=(?:\"[^\"]*\"|\S*)\s*)+)(?:#.*)?$")
_LOOP = re.compile(r"\s*for (\w+) in (\S+).*?; do (.*); done\s*(?:#.*)?$")
_COMMANDS = ("scripts/", "benchmarks/", "fairseq-", "make ", "pip ")


class Command(NamedTuple):
    """One line of a code block."""

    page: str
    words: list[str]
    """Variables of the block are filled in; ``…``, which stands for what the reader adds, is left out."""

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def commands(page: str) -> Iterator[Command]:
    """Every command on a page; what is not one (output, formulas, trees of folders) is passed over."""
    variables: dict[str, str] = {}
    for block in _BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            loop = _LOOP.fullmatch(line)
            if loop:  # its first round
                variables[loop[1]], line = loop[2], loop[3]
            assigned = _ASSIGNMENTS.fullmatch(line)
            if assigned:
                for pair in shlex.split(_fill(assigned[1], variables)):
                    name, _, value = pair.partition("=")
                    variables[name] = value
            elif line.lstrip().startswith(_COMMANDS):
                words = shlex.split(_fill(line, variables), comments=True)
                yield Command(page, [word.removesuffix("…") for word in words if word != "…"])


def _fill(line: str, variables: dict[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda match: variables.get(match[1], match[0]), line)
