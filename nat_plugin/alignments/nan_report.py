"""NaN in the logits is reported with the sentence that holds it, without a device synchronisation of its own.

On a CPU the report is immediate. On a GPU a look at the values would make the CPU wait for the kernels, so the flags of
one call travel to pinned memory behind its kernels and are looked at in the first later call that finds them arrived
(or by :func:`raise_pending`, which waits). Until then the NaN itself is in the loss: nothing is silently zeroed.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import torch
from torch import Tensor


class _Pending(NamedTuple):
    flags: Tensor
    arrived: torch.cuda.Event


_pending: deque[_Pending] = deque()
_MOST_PENDING = 64


def watch(normalizers: Tensor) -> None:
    """Look for slots' normalisers [B, m] that are not finite, and raise what earlier calls on a GPU have found.

    A normaliser is NaN where a logit is NaN or all are -inf, and infinite where a logit is +inf.

    Raises:
        FloatingPointError: a sentence's logits are no distribution; the message says which sentence and slot.
    """
    if normalizers.device.type != "cuda":
        broken = ~normalizers.isfinite()
        if bool(broken.any()):
            _raise(broken, "the batch")
        return
    _raise_arrived(wait=False)
    if len(_pending) >= _MOST_PENDING or torch.cuda.is_current_stream_capturing():
        return
    flags = torch.empty(normalizers.shape, dtype=torch.bool, pin_memory=True)
    with torch.cuda.device(normalizers.device):  # the event belongs behind the copy, on the copy's device
        flags.copy_(~normalizers.isfinite(), non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
    _pending.append(_Pending(flags, arrived))


def raise_pending() -> None:
    """Wait for all flags that are still on their way from a GPU.

    Raises:
        FloatingPointError: as in :func:`watch`.
    """
    _raise_arrived(wait=True)


def _raise_arrived(wait: bool) -> None:
    while _pending and (wait or _pending[0].arrived.query()):
        flags, arrived = _pending.popleft()
        if wait:
            arrived.synchronize()
        if bool(flags.any()):
            _pending.clear()
            _raise(flags, "an earlier batch, or this one,")


def _raise(flags: Tensor, batch: str) -> None:
    sentences = flags.any(1).nonzero().flatten().tolist()
    slot = int(flags[sentences[0]].nonzero()[0])
    more = f" (and {len(sentences) - 1} more sentences)" if len(sentences) > 1 else ""
    raise FloatingPointError(
        f"the logits of sentence {sentences[0]} of {batch} hold NaN or infinity at slot {slot}{more}"
    )
