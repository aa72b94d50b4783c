"""Weights of another checkpoint to begin a training with, in place of random ones."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nat_plugin.errors import UserError
from nat_plugin.weights import SUFFIX, check_dictionaries, dictionary_words
from scripts.lib.runs import Run

HALVES = ("load_encoder_from", "load_decoder_from")
"""Flags of the plugin's models; in a run's configuration they may name runs too."""


def start_checkpoint(config: Mapping[str, Any], run: Run) -> Path | None:
    """The file that ``start_from`` means; None where it says nothing.

    Args:
        config: of the run that is to begin, or to go on: then the file is not read again, and need not be there.

    Raises:
        UserError: there is no such run or file.
    """
    if config["start_from"] is None:
        return None
    path = Path(config["start_from"])
    if run.last_checkpoint.exists() and not path.is_dir():
        return path
    if path.is_dir():
        return Run(path).chosen_checkpoint()
    if not path.is_file():
        raise UserError(f"start_from={path}: there is no such run or checkpoint; train it first, or correct the path.")
    return path


def half_checkpoints(config: Mapping[str, Any]) -> dict[str, Path]:
    """The files that ``fairseq.load_encoder_from`` and ``fairseq.load_decoder_from`` mean, by flag.

    What is no folder is fairseq-train's to read, and to refuse.

    Raises:
        UserError: a run has no checkpoint yet.
    """
    named = {key: Path(config["fairseq"][key]) for key in HALVES if config["fairseq"].get(key)}
    return {key: Run(path).chosen_checkpoint() if path.is_dir() else path for key, path in named.items()}


def check_start(config: Mapping[str, Any], path: Path) -> None:
    """Refuse a checkpoint whose tokens have other numbers; sizes are compared when the model is built.

    Raises:
        UserError: it is no checkpoint, of other languages, or of other dictionaries as far as those can be found.
    """
    named = [key for key in HALVES if config["fairseq"].get(key)]
    if named:
        raise UserError(f"start_from and fairseq.{named[0]} both say what a half begins with: drop one of them.")
    data = config["data"]
    check_tokens(f"start_from={path}", path, Path(data["path"]), (data["source_lang"], data["target_lang"]))


def check_tokens(named: str, path: Path, data: Path, languages: tuple[str, str]) -> None:
    """Make sure that a checkpoint reads and writes the tokens of a data folder.

    Args:
        named: how to call it in a message.
        path: the checkpoint.
        languages: source and target language of the data.

    Raises:
        UserError: it is no checkpoint, of other languages, or of other dictionaries as far as those can be found.
    """
    from scripts.lib.averaging import load_checkpoint  # seconds to import

    if path.suffix == SUFFIX:
        check_dictionaries(path, data, named)
    saved = (load_checkpoint(path).get("cfg") or {}).get("task") or {}
    for side, here in zip(("source", "target"), languages, strict=True):
        there = saved.get(f"{side}_lang")
        if there != here:
            raise UserError(f"{named} has {there} as its {side} language, not {here}: name another.")
        old, new = (folder / f"dict.{here}.txt" for folder in (Path(str(saved.get("data")).split(os.pathsep)[0]), data))
        if old.is_file() and dictionary_words(old) != dictionary_words(new):
            raise UserError(f"{named} was trained with another dictionary, {old}, than {new}: use data of that one.")
