"""A pass whose gradient is not wanted, in the midst of a training step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def aside(device: torch.device) -> Iterator[None]:
    """Within the context nothing has a gradient, and random numbers are drawn that the next pass draws again.

    Args:
        device: where the pass is computed.
    """
    with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
    # older torch's autocast would give the next pass the weights cast here, without gradient (pytorch issue 112583)
    torch.clear_autocast_cache()
