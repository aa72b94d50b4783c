"""Further text of a prepared data folder's target language: raw lines to the subwords that its models know."""

from __future__ import annotations

import json
from collections.abc import Iterable

from nat_plugin.errors import UserError
from scripts.lib import subwords
from scripts.lib.prepared_data import PreparedData
from scripts.lib.text import Normaliser, Tokenizer


def target_subwords(data: PreparedData, lines: Iterable[str]) -> list[str]:
    """``lines`` as ``scripts/prepare.py`` would have written them into ``bpe/``: subwords joined by spaces.

    Raises:
        UserError: the folder lacks the model of its subwords, or ``prepare.json`` does not name it.
    """
    record = data.folder / "prepare.json"
    options = json.loads(record.read_text(encoding="utf-8"))["options"]
    language, kind = data.target_lang, data.tokenizer
    try:
        punctuation = kind == "moses" and options["normalise_punctuation"]
        joint = data.subword == "none" or options["joint_subwords"]
    except KeyError as error:
        raise UserError(
            f"{record} lacks what scripts/prepare.py writes ({error!r}): prepare the data again."
        ) from error
    model = data.folder / subwords.model_name(data.subword, None if joint else language)
    if data.subword != "none" and not model.is_file():
        raise UserError(f"there is no {model}, which splits words into subwords: prepare the data again.")
    # Folders that were made before these options were there have neither.
    lowercase, romanian = options.get("lowercase", False), options.get("romanian", "as-is")
    normalise = Normaliser(language, punctuation=punctuation, romanian=romanian)
    tokenise = Tokenizer(language, kind, data.subword, lowercase=lowercase)
    segment = subwords.load(data.subword, model)
    return [segment(tokenise(normalise(line))) for line in lines]
