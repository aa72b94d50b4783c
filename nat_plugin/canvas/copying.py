"""What fills masked slots: copies of the encoder's states, or of the source's embeddings, spread over the canvas.

A source sentence has S words and then its end marker, which is not copied: the canvas has a marker of its own. i counts
the words from 0 and j the slots, whichever side the source is padded on.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nat_plugin.canvas.lengths import word_counts


def uniform_copy(states: Tensor, padding: Tensor, lengths: Tensor, width: int) -> Tensor:
    """Slot j holds the state of word ⌊(j + ½)·S/m⌋ (Gu et al. 2018, §3.2, who round j·S/m).

    Both ends of the canvas are treated alike: each word fills s slots where m = s·S with a whole s.

    Args:
        states: [B, S', D], the encoder's output, or embeddings of the source.
        padding: [B, S'] bool, True at padding, on either side.
        lengths: [B] int64, m of each sentence.
        width: slots of the padded canvas.

    Returns:
        [B, width, D]; finite, and otherwise meaningless, beyond the lengths.
    """
    words = word_counts(padding)
    slots = torch.arange(width, device=states.device)
    nearest = (2 * slots + 1) * words.unsqueeze(1) // (2 * lengths.clamp(min=1).unsqueeze(1))
    nearest = torch.minimum(nearest, (words - 1).clamp(min=0).unsqueeze(1))
    first = (~padding).to(torch.uint8).argmax(1)
    index = (first.unsqueeze(1) + nearest).unsqueeze(2).expand(-1, -1, states.size(2))
    return states.gather(1, index)


def soft_copy(states: Tensor, padding: Tensor, lengths: Tensor, width: int, temperature: Tensor) -> Tensor:
    """SoftCopy (Wei et al. 2019, as in Gu & Kong 2021, appendix A): every word's state, weighted by its distance.

    Slot j holds Σ_i softmax_i(-|i·m/S - j|/τ) · state_i. The weights are computed in float32, in float64 for float64.

    Args:
        states, padding, lengths, width: as in :func:`uniform_copy`.
        temperature: τ > 0, in slots; one number, and its gradient is given.

    Returns:
        [B, width, D]; finite, and otherwise meaningless, beyond the lengths.
    """
    words = word_counts(padding)
    place = (~padding).cumsum(1) - 1  # i of each word, and S of the end marker
    dtype = torch.promote_types(states.dtype, torch.float32)
    stretch = (lengths.to(dtype) / words.clamp(min=1)).unsqueeze(1)
    slots = torch.arange(width, device=states.device, dtype=dtype)
    distance = ((place * stretch).unsqueeze(1) - slots.view(1, -1, 1)).abs()
    copied = ~padding & (place < words.clamp(min=1).unsqueeze(1))  # a source of no words still has its marker
    # masked after the division: an infinite distance would make τ's gradient NaN
    scores = (-distance / temperature.to(dtype)).masked_fill(~copied.unsqueeze(1), float("-inf"))
    weights = torch.softmax(scores, dim=2)
    return torch.bmm(weights.to(states.dtype), states)
