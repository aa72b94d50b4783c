"""Checkpoints of other models that take part in a translation: they must be of its languages and its words."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from nat_plugin.errors import UserError


def read_other_model(path: str, flag: str) -> dict[str, Any]:
    """A checkpoint as fairseq's ``load_checkpoint_to_cpu`` returns it.

    Args:
        flag: what named it.

    Raises:
        UserError: there is no such file, or it is no whole checkpoint of fairseq-train.
    """
    from fairseq import checkpoint_utils

    if not os.path.isfile(path):
        raise UserError(f"there is no checkpoint at {flag} {path}: correct the path.")
    state: dict[str, Any] = checkpoint_utils.load_checkpoint_to_cpu(path)
    if state.get("cfg") is None:
        raise UserError(f"{flag} {path} holds no configuration: use a checkpoint written by fairseq-train.")
    return state


def check_languages(saved: Any, task: Any, where: str, kind: str) -> None:
    """Compare the languages of a checkpoint with those of a task; a joint dictionary would not tell them apart.

    Args:
        saved: the configuration of the checkpoint's task.
        task: the translation's.
        where: what to call the checkpoint in a message.
        kind: what it is.

    Raises:
        UserError: it translates another language, or into another.
    """
    theirs, ours = (
        tuple(getattr(cfg, f"{side}_lang", None) for side in ("source", "target")) for cfg in (saved, task.cfg)
    )
    if None in theirs or None in ours or theirs == ours:
        return
    raise UserError(
        f"{where} translates {theirs[0]} to {theirs[1]}, not {ours[0]} to {ours[1]}: use {kind} of these languages."
    )


def check_symbols(saved: Any, dictionaries: Sequence[Any], where: str, kind: str) -> None:
    """Compare the words of a checkpoint's own dictionaries with ours, where its data are still there.

    Args:
        saved: the configuration of the checkpoint's task.
        dictionaries: the source's and the target's, cut to what the checkpoint has.
        where, kind: as in :func:`check_languages`.

    Raises:
        UserError: another word has the same number.
    """
    from fairseq.data import Dictionary

    folder = str(saved.data).split(os.pathsep)[0]
    for language, ours in zip((saved.source_lang, saved.target_lang), dictionaries, strict=True):
        file = os.path.join(folder, f"dict.{language}.txt")
        if not os.path.isfile(file):
            continue
        theirs = Dictionary.load(file)
        for index in range(min(len(theirs), len(ours))):
            if theirs[index] != ours[index]:
                raise UserError(
                    f"{where} was trained with another dictionary ({file} has {theirs[index]!r} where this "
                    f"data has {ours[index]!r}): use {kind} of this data."
                )


def first_words(dictionary: Any, count: int, where: str, kind: str) -> Any:
    """The first ``count`` symbols of a dictionary, as one of its own: those that a checkpoint has embeddings of.

    Args:
        where, kind: as in :func:`check_languages`.

    Raises:
        UserError: there are fewer.
    """
    if count > len(dictionary):
        raise UserError(
            f"{where} has {count} words and this data {len(dictionary)}: use {kind} trained with these dictionaries."
        )
    cut = type(dictionary)()
    for index in range(cut.nspecial, count):
        cut.add_symbol(dictionary[index], dictionary.count[index])
    return cut
