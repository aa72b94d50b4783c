"""A binarised split with other translations of its sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nat_plugin.errors import UserError


def with_targets(task: Any, dataset: Any, targets: Sequence[str], name: str, split: str) -> Any:
    """fairseq's data set of the same sources with other targets, in the same order.

    Args:
        task: fairseq's, with the dictionaries.
        dataset: the split.
        targets: subwords joined by spaces, one string a sentence of the split; it may be empty.
        name: what to call them in a message.
        split: the split's name.

    Raises:
        UserError: they are not as many as the sentences.
    """
    from fairseq.data import LanguagePairDataset

    if len(targets) != len(dataset):
        raise UserError(
            f"{name} has {len(targets)} lines, but split '{split}' has {len(dataset)} sentences: line n must be a "
            "translation of sentence n."
        )
    dictionary = task.target_dictionary
    encoded = [
        dictionary.encode_line(line, line_tokenizer=str.split, add_if_not_exist=False).long() for line in targets
    ]
    return LanguagePairDataset(
        dataset.src,
        dataset.src_sizes,
        task.source_dictionary,
        encoded,
        [len(sentence) for sentence in encoded],
        dictionary,
        left_pad_source=task.cfg.left_pad_source,
        shuffle=False,
    )
