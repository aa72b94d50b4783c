"""Several canvases of each sentence in one batch: what they share is computed once, and their dropout is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, Optional

from fairseq.modules import FairseqDropout
from torch import Tensor, nn

from nat_plugin.attention import attend, dropout_rate


class Repetition(NamedTuple):
    """Rows of a batch, in the order of their sentences.

    Attributes:
        sentence_of: [P] int64, which sentence a row belongs to; every sentence has one.
        first_of: [B] int64, the first row of each sentence.
    """

    sentence_of: Tensor
    first_of: Tensor


@contextmanager
def repeated_sentences(decoder: nn.Module, rows: Repetition) -> Iterator[None]:
    """Within the context, the decoder is given rows that repeat sentences.

    A row has the dropout noise that its sentence has in a batch of the sentences alone. So canvases of one sentence are
    compared under the same noise, and from the same state of the random numbers, and with as many slots, a pass over
    the sentences alone gives each the same result. Dropout of attention weights is not reached: its noise is the row's
    own. Keys and values of the attention to the source are projected once a sentence. Without gradient only.

    Args:
        decoder: ours, whose first dropout has the batch in front, and whose layers have it in the second place.
        rows: see :class:`Repetition`.
    """
    changed = []
    for name, module in decoder.named_modules():
        if name.endswith("encoder_attn"):
            module.forward = partial(_attend_to_source, module, rows)
        elif isinstance(module, FairseqDropout) and not name.endswith("attn.dropout_module"):
            module.forward = partial(_drop, module, rows, 0 if name == "dropout_module" else 1)
        else:
            continue
        changed.append(module)
    try:
        yield
    finally:
        for module in changed:
            del module.forward


def _drop(module: Any, rows: Repetition, batch_dim: int, states: Tensor, inplace: bool = False) -> Tensor:
    rate = dropout_rate(module)
    if rate == 0:
        return states
    shape = list(states.shape)
    shape[batch_dim] = len(rows.first_of)
    noise = nn.functional.dropout(states.new_ones(shape), rate)
    return states * noise.index_select(batch_dim, rows.sentence_of)


def _attend_to_source(
    module: Any,
    rows: Repetition,
    query: Tensor,
    key: Tensor,
    value: Optional[Tensor] = None,
    key_padding_mask: Optional[Tensor] = None,
    **unused: Any,
) -> tuple[Tensor, None]:
    """What fairseq's attention computes; the key, which is the value too, is a sentence's in each of its rows."""
    source = key.index_select(1, rows.first_of)
    projections = (module.k_proj, module.v_proj)
    keys, values = (projection(source).index_select(1, rows.sentence_of) for projection in projections)
    attended = attend(
        module.q_proj(query),
        keys,
        values,
        heads=module.num_heads,
        padding=key_padding_mask,
        dropout=dropout_rate(module.dropout_module),
    )
    return module.out_proj(attended), None
