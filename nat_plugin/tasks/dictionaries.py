"""Dictionaries with ``<mask>`` and ``<blank>``."""

from __future__ import annotations

import os

from fairseq.data import Dictionary

from nat_plugin.errors import UserError
from nat_plugin.symbols import SPECIAL_SYMBOLS


def add_special_symbols(dictionary: Dictionary) -> Dictionary:
    """Append the symbols that are not there yet, after everything else, and return the dictionary.

    They come last so that data binarised without them, and a teacher's embedding, keep their numbering: the teacher's
    vocabulary stays a prefix of ours. ``scripts/prepare.py`` keeps them out of text.
    """
    for symbol in SPECIAL_SYMBOLS:
        if symbol not in dictionary:
            dictionary.add_symbol(symbol, n=0)
    return dictionary


def load_dictionary(path: str) -> Dictionary:
    """Load ``dict.<lang>.txt`` and append the special symbols where they are missing.

    Raises:
        UserError: there is no such file, or it is not a fairseq dictionary.
    """
    if not os.path.isfile(path):
        raise UserError(
            f"there is no dictionary {path}: give the folder that fairseq-preprocess or scripts/prepare.py wrote, "
            "and check --source-lang and --target-lang."
        )
    try:
        dictionary = Dictionary.load(path)
    except Exception as error:  # fairseq raises no narrower one for wrong encoding
        raise UserError(f"{path} is not a fairseq dictionary ({error}): binarise the data again.") from error
    return add_special_symbols(dictionary)
