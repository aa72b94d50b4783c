"""Pages of the documentation: text that a command puts between two marks."""

from __future__ import annotations

import re
from pathlib import Path

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write

BEGIN, END = "<!-- begin: {name} -->", "<!-- end: {name} -->"


def block_names(page: Path) -> list[str]:
    """The names of a page's blocks, from above.

    Raises:
        UserError: the page is not there.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"--docs {page} does not exist: name a page that does.") from error
    return re.findall(BEGIN.format(name=r"([\w./-]+)"), text)


def replace_block(page: Path, name: str, text: str) -> None:
    """Put ``text`` between a page's ``<!-- begin: name -->`` and ``<!-- end: name -->``.

    Raises:
        UserError: the page is not there or has no such block.
    """
    begin, end = BEGIN.format(name=name), END.format(name=name)
    try:
        before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    except FileNotFoundError as error:
        raise UserError(f"--docs {page} does not exist: name a page with the lines {begin} and {end}.") from error
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise UserError(f"--docs {page} has nowhere to put the table: add the lines {begin} and {end}.")
    with atomic_write(page) as handle:
        handle.write(f"{before}{begin}\n{text.strip()}\n{end}{after}")
