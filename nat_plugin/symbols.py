"""The two symbols that non-autoregressive models add to a dictionary.

``<mask>`` fills a decoder slot whose token is to be predicted; ``<blank>`` (the papers' epsilon) is what a slot
predicts when it stands for no token. Both are ordinary dictionary entries of their own, never ``<unk>`` or ``<pad>``,
and neither may reach an output string.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

MASK = "<mask>"
BLANK = "<blank>"
SPECIAL_SYMBOLS = (MASK, BLANK)

# fairseq-preprocess fills a dictionary with these to a multiple of 8 entries
_FILLER = re.compile(r"madeupword[0-9]{4}")


def words_digest(words: Sequence[str]) -> str:
    """SHA-256 of words in their order: two dictionaries that share it number the same words alike."""
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def word_ids(dictionary: Any) -> list[int]:
    """The ids of words that a text may hold: no special symbols, and no fillers of fairseq's, which none has."""
    return [
        index
        for index in range(dictionary.nspecial, len(dictionary))
        if dictionary[index] not in SPECIAL_SYMBOLS
        and not (dictionary.count[index] == 0 and _FILLER.fullmatch(dictionary[index]))
    ]
