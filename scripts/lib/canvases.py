"""One pass over masked canvases, of the lengths that a model predicts itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from nat_plugin.decoding.slot_decoding import canvas_lengths
from nat_plugin.errors import UserError
from scripts.lib.evaluation import Evaluation
from scripts.lib.in_process import SplitTranslator

_OF_THE_CANVAS = ("source_lang", "target_lang", "length_multiplier")


class CanvasBatch(NamedTuple):
    """What the slots of some sentences say.

    Attributes:
        places: of the sentences in their split, from 0.
        lengths: [B], slots of each.
        logits: [B, m, V].
    """

    places: list[int]
    lengths: Tensor
    logits: Tensor


def plain_canvas(evaluation: Evaluation) -> Evaluation:
    """The same system, decoded in one pass on a canvas of its most probable length × λ."""
    flags = {name: evaluation.flags[name] for name in _OF_THE_CANVAS if name in evaluation.flags}
    return replace(evaluation, flags=flags)


def check_has_canvas(translator: SplitTranslator, remedy: str) -> None:
    """Refuse a model that has no canvas.

    Raises:
        UserError: it is none of this plugin's non-autoregressive ones.
    """
    if not hasattr(translator.model, "decode_canvas"):
        raise UserError(
            f"{translator.evaluation.checkpoint} has no slots to look at, as this plugin's non-autoregressive models "
            f"have: {remedy}."
        )


@torch.no_grad()
def read_canvases(translator: SplitTranslator) -> Iterator[CanvasBatch]:
    """All slots masked, every sentence once; the longest come first.

    Args:
        translator: of a model that :func:`check_has_canvas` lets pass.
    """
    from fairseq import utils

    model = translator.model
    options = replace(translator.translator.generator.options, length_candidates=1)
    with tqdm(
        total=translator.sentences, desc=translator.evaluation.system, unit=" sentences", disable=None
    ) as progress:
        for sample in translator.batches():
            on_device = utils.move_to_cuda(sample) if translator.device == "cuda" else sample
            source = on_device["net_input"]
            encoder_out = model.encode(source["src_tokens"], source["src_lengths"])
            lengths = canvas_lengths(model, encoder_out, options)[:, 0]
            slots = torch.full((len(lengths), int(lengths.max())), model.symbols.mask, device=lengths.device)
            yield CanvasBatch(sample["id"].tolist(), lengths, model.decode_canvas(slots, lengths, encoder_out))
            progress.update(len(lengths))
