"""What a figure depends on, in one line beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def one_line(parts: Mapping[str, Any]) -> str:
    """``key:value|key:value``, as sacreBLEU writes it; None is left out."""
    return "|".join(f"{key}:{value}" for key, value in parts.items() if value is not None)


def device_name(device: str | torch.device) -> str:
    """What computes: the name of the GPU, or ``cpu``."""
    import torch  # seconds to import: not for --help

    return torch.cuda.get_device_name() if torch.device(device).type == "cuda" else "cpu"
