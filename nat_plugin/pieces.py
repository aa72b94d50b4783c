"""How many logits are held at once where not all of them are wanted."""

from __future__ import annotations

import torch

_NUMBERS = {"cuda": 2**27}
_OTHERWISE = 2**24


def logits_at_once(device: torch.device) -> int:
    """Numbers in a piece of the logits: each piece reads all embeddings, so few and large ones.

    On a CPU a larger piece would leave its caches, and gain nothing.
    """
    return _NUMBERS.get(device.type, _OTHERWISE)
