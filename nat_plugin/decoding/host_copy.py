"""From the device to the processor in one copy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def to_host(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors on the CPU. However many there are, a GPU is waited for once."""
    if all(tensor.device.type == "cpu" for tensor in tensors):
        return list(tensors)
    return unpack(pack(tensors).cpu(), tensors)


def pack(tensors: Sequence[Tensor]) -> Tensor:
    """The bytes of all tensors, one after the other; the widest types first, so that each is aligned."""
    return torch.cat([tensors[place].contiguous().flatten().view(torch.uint8) for place in _order(tensors)])


def unpack(packed: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """What was packed: tensors with the types and shapes of ``like``, in its order."""
    order = _order(like)
    sizes = [like[place].numel() * like[place].element_size() for place in order]
    parts = dict(zip(order, packed.split(sizes), strict=True))
    return [parts[place].view(tensor.dtype).view(tensor.shape) for place, tensor in enumerate(like)]


def _order(tensors: Sequence[Tensor]) -> list[int]:
    return sorted(range(len(tensors)), key=lambda place: -tensors[place].element_size())
