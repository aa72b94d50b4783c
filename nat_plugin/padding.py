"""Which places of a padded batch are real."""

from __future__ import annotations

import torch
from torch import Tensor


def length_mask(lengths: Tensor, width: int) -> Tensor:
    """[B, width] bool, True at the first ``lengths[b]`` places."""
    return torch.arange(width, device=lengths.device) < lengths.unsqueeze(1)
