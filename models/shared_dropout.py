"""One dropout noise for several canvases of a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from fairseq.modules import FairseqDropout
from torch import Tensor, nn


@contextmanager
def noise_of_sentences(decoder: nn.Module, rows: Tensor, sentences: int) -> Iterator[None]:
    """Within the context, row p of a batch has the noise that sentence ``rows[p]`` has in a batch of ``sentences``.

    So canvases of one sentence are compared under the same noise, and from the same state of the random numbers, and
    with as many slots, a pass over the sentences alone gives each the same result. Dropout of attention weights is not
    reached: its noise stays that of the rows.

    Args:
        decoder: fairseq's, whose first dropout has the batch in front, and those of the layers in the second place.
        rows: [P] int64, which sentence a row belongs to.
        sentences: how many there are.
    """
    changed = []
    for name, module in decoder.named_modules():
        if isinstance(module, FairseqDropout) and not name.endswith("attn.dropout_module"):
            batch_dim = 0 if name == "dropout_module" else 1
            module.forward = partial(_shared, module, rows, sentences, batch_dim)
            changed.append(module)
    try:
        yield
    finally:
        for module in changed:
            del module.forward


def _shared(module: Any, rows: Tensor, sentences: int, batch_dim: int, states: Tensor, inplace: bool = False) -> Tensor:
    if not (module.p > 0 and (module.training or module.apply_during_inference)):
        return states
    shape = list(states.shape)
    shape[batch_dim] = sentences
    noise = nn.functional.dropout(torch.ones(shape, dtype=states.dtype, device=states.device), module.p)
    return states * noise.index_select(batch_dim, rows)
