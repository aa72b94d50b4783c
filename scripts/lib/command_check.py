"""Whether a command of ours is one that its script takes, without running it."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from nat_plugin.errors import UserError
from scripts.lib.cli import shell
from scripts.lib.config import CONFIG_FOLDER, compose_run

# Words that say where a run lies and what it is called, whatever is trained.
_PLACES = ("name=", "run=")


def check_command(command: Sequence[str]) -> None:
    """Have the script's own parser read its words; scripts/train.py's are composed into a configuration.

    Args:
        command: the script, a file of scripts/, and its words. Data folders of scripts/train.py need not be there.

    Raises:
        UserError: it would be refused.
    """
    script, *words = command
    try:
        if script == "train.py":
            _compose(tuple(_of_any_data(word) for word in words if not word.startswith(("--dry-run", *_PLACES))))
        else:
            _parse(script, tuple(words))
    except UserError as error:
        raise UserError(f"`scripts/{shell(command)}` would be refused: {error}") from error


@cache
def _compose(words: tuple[str, ...]) -> None:
    compose_run(words)


def _of_any_data(word: str) -> str:
    """A folder of data, there or still to be made, is one like others; a name has to be one that there is."""
    key, _, value = word.partition("=")
    known = (CONFIG_FOLDER / "data" / f"{value}.yaml").is_file()
    return "data=generated" if key == "data" and (known or "/" in value or Path(value).is_dir()) else word


@cache
def _parse(script: str, words: tuple[str, ...]) -> None:
    module = importlib.import_module("scripts." + script.removesuffix(".py").replace("/", "."))
    parse: Callable[[list[str]], object] = getattr(module, "parse_arguments", None) or module.parser().parse_args
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parse(list(words))
    except SystemExit as error:
        raise UserError(said.getvalue().strip().rpartition("error: ")[2]) from error
