"""The position confidence of one system over a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import torch

from nat_plugin.analysis.position_confidence import ConfidenceSums, slot_confidence
from nat_plugin.decoding.output_symbols import OutputSymbols
from nat_plugin.errors import UserError
from scripts.lib.canvases import check_has_canvas, read_canvases
from scripts.lib.comparison import bucket_name
from scripts.lib.in_process import SplitTranslator
from scripts.lib.results import Row


def measure_confidence(translator: SplitTranslator, edges: Sequence[int], *, distance: int, places: int) -> list[Row]:
    """A row a bucket of lengths that has sentences: :class:`nat_plugin.analysis.position_confidence.PositionConfidence`
    with ``shortest``, ``longest`` (None: no limit) and ``bucket``, its name.

    Args:
        translator: one pass, on canvases of the length that the model predicts.
        edges: lengths of the reference, in the model's tokens, at which a bucket begins.
        distance: how far around a slot to look.
        places: in how many parts to cut the sentences.

    Raises:
        UserError: the model has no canvas, or the split no target.
    """
    check_has_canvas(translator, "choose another run")
    evaluation, task = translator.evaluation, translator.translator.task
    dataset = task.dataset(evaluation.split)
    if dataset.tgt is None:
        raise UserError(
            f"split '{evaluation.split}' of {evaluation.data.folder} has no target side, whose length says which "
            "bucket a sentence is in: binarise it."
        )
    sums = ConfidenceSums(len(edges) + 1, distance, places)
    starts = torch.tensor(edges, dtype=torch.int64)
    excluded = OutputSymbols(task.target_dictionary).to(torch.device(translator.device)).never_predicted
    for batch in read_canvases(translator):
        reference = torch.tensor([int(dataset.tgt_sizes[place]) - 1 for place in batch.places])
        groups = torch.searchsorted(starts, reference, right=True)
        sums.add(slot_confidence(batch.logits, batch.lengths, excluded), batch.lengths, groups, task.blank_idx)
    limits = zip([1, *edges], [*(edge - 1 for edge in edges), None], strict=True)
    return [
        {"bucket": bucket_name(shortest, longest), "shortest": shortest, "longest": longest, **asdict(found)}
        for (shortest, longest), found in zip(limits, sums.result(), strict=True)
        if found.sentences
    ]
