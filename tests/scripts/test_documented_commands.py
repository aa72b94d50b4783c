"""The commands on the pages about Huang et al. 2022 are ones that the scripts take."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest

from scripts.lib.config import compose_run
from scripts.prepare import parser as prepare_parser

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("oaxe", "total_correlation", "loss_landscape")


def commands(page: str) -> list[list[str]]:
    """The calls of our scripts in a page's code blocks, in loops too."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
    calls = []
    for line in blocks.splitlines():
        match = re.search(r"(?:^|do )(scripts/[^;#]*)", line)
        if match:
            calls.append(shlex.split(match[1].replace("$width", "32")))
    return calls


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_taken(page: str) -> None:
    found = commands(page)
    assert len(found) >= 3
    for script, *words in found:
        if script == "scripts/train.py":
            compose_run([*words, "machine=cpu"])
        elif script == "scripts/prepare.py":
            prepare_parser().parse_args(words)
        else:
            name = script.removeprefix("scripts/").removesuffix(".py").replace("/", ".")
            importlib.import_module(f"scripts.{name}").parse_arguments(words)
