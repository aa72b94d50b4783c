"""Does a binarised text belong to its dictionary, and has each sentence a token?"""

from __future__ import annotations

from typing import Any

import numpy as np
from fairseq.data.indexed_dataset import MMapIndexedDataset

from nat_plugin.errors import UserError


def check_tokens(text: Any, dictionary: Any, where: str) -> None:
    """Check one side of a split as a whole: its length in bytes, and that every token is in the dictionary.

    Without it a dictionary of another preparation goes unnoticed until a token has no embedding, on a GPU with an
    unreadable error, or for ever. Text that is not memory-mapped (``--dataset-impl raw``, several parts combined) is
    not looked at.

    Args:
        text: fairseq's data set of one language, or None.
        where: how to call the split in the message.

    Raises:
        UserError: the file is truncated, or holds a token that the dictionary lacks.
    """
    if not isinstance(text, MMapIndexedDataset):
        return
    dtype = np.dtype(text._index.dtype)
    expected = int(np.sum(text.sizes, dtype=np.int64)) * dtype.itemsize
    if len(text._bin_buffer) < expected:
        raise UserError(
            f"the binarised {where} is truncated ({len(text._bin_buffer)} of {expected} bytes): binarise it again, or "
            "copy it again."
        )
    largest = int(np.frombuffer(text._bin_buffer, dtype=dtype).max(initial=0))
    if largest >= len(dictionary):
        raise UserError(
            f"the binarised {where} holds token number {largest}, but the dictionary has only {len(dictionary)} "
            "entries: it was binarised with another dictionary, binarise it again with this one."
        )


def refuse_empty(sizes: Any, what: str, before: int = 0) -> None:
    """Refuse sentences of zero tokens, whose only token is the end of sentence.

    Args:
        sizes: tokens of each sentence, end of sentence included.
        what: what to call a sentence in the message.
        before: how many sentences were read earlier, for the number in the message.

    Raises:
        UserError: there are such.
    """
    empty = np.flatnonzero(np.asarray(sizes) <= 1)
    if len(empty):
        raise UserError(
            f"{what}, number {before + int(empty[0]) + 1}, has no tokens ({len(empty)} such sentences): remove the "
            "empty lines; scripts/prepare.py drops them and says how many."
        )
