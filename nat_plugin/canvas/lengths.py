"""How many slots a canvas has."""

from __future__ import annotations

import torch
from torch import Tensor

from nat_plugin.padding import length_mask


def scaled_lengths(lengths: Tensor, multiplier: float, maximum: int) -> Tensor:
    """round(λ · length), at least 1 and at most ``maximum`` (halves are rounded up); any shape, int64."""
    return (lengths.to(torch.float64) * multiplier + 0.5).floor().to(torch.int64).clamp(1, maximum)


def word_counts(padding: Tensor) -> Tensor:
    """Source lengths without end of sentence, [B] int64, from the encoder's padding [B, S'], on either side."""
    return (~padding).sum(1) - 1


def build_canvas(slots: Tensor, lengths: Tensor, *, pad_idx: int, eos_idx: int) -> Tensor:
    """The decoder's input: each sentence's slots, then one end-of-sentence marker that tells it where the canvas ends.

    The marker is context: nothing is predicted there, and it is no slot.

    Args:
        slots: [B, m] int64, what fills the slots; ignored beyond ``lengths``.
        lengths: [B], 1..m.

    Returns:
        [B, m+1] int64, right-padded.
    """
    width = slots.size(1)
    canvas = slots.masked_fill(~length_mask(lengths, width), pad_idx)
    canvas = torch.nn.functional.pad(canvas, (0, 1), value=pad_idx)
    return canvas.scatter(1, lengths.unsqueeze(1), eos_idx)
