"""Reading the logits: normalisers, means and a window of tokens, one program a slot.

Offsets into logits are 64-bit. ``vocabulary`` and the strides of logits come divided by ALIGN, the largest power of two
(up to 16) that divides them all, and are multiplied again here: so the compiler knows that rows start at aligned
addresses and that their last vector is whole, and loads 16 bytes at once for any such vocabulary.
"""

from __future__ import annotations

import triton
import triton.language as tl

# What changes from batch to batch must not make the compiler specialise, i.e. compile again.
CHANGING = [
    "slots",
    "vocabulary",
    "sentence_stride",
    "slot_stride",
    "count",
    "token_sentence_stride",
    "token_slot_stride",
]


@triton.jit(do_not_specialize=CHANGING)
def read_slots_kernel(
    logits: tl.tensor,
    tokens: tl.tensor,
    lengths: tl.tensor,
    normalizers: tl.tensor,
    chosen: tl.tensor,
    means: tl.tensor,  # or None
    slots: tl.tensor,
    vocabulary: tl.tensor,
    sentence_stride: tl.tensor,
    slot_stride: tl.tensor,
    count: tl.tensor,
    token_sentence_stride: tl.tensor,
    token_slot_stride: tl.tensor,
    ALIGN: tl.constexpr,
    ROWS: tl.constexpr,
    LANES: tl.constexpr,
    TOKENS: tl.constexpr,
) -> None:
    """One slot: log Σ_v exp(logit), log p of ``count`` tokens and the mean log p.

    The row is read once, a tile of ROWS x LANES at a time. Each lane keeps a maximum and a sum of its own, so that
    threads need to exchange nothing before the row's end.
    """
    row = tl.program_id(0)
    sentence = (row // slots).to(tl.int64)
    slot = row % slots
    row = row.to(tl.int64)
    dtype = normalizers.dtype.element_ty
    window = tl.arange(0, TOKENS)
    if slot < tl.load(lengths + sentence):
        base = logits + (sentence * sentence_stride + slot.to(tl.int64) * slot_stride) * ALIGN
        size = vocabulary * ALIGN
        tile = tl.arange(0, ROWS)[:, None] * LANES + tl.arange(0, LANES)[None, :]
        peaks = tl.full([LANES], -float("inf"), dtype)
        sums = tl.full([LANES], 0.0, dtype)
        totals = tl.full([LANES], 0.0, dtype)
        for start in range(0, size, ROWS * LANES):
            columns = start + tile
            real = columns < size
            values = tl.load(base + columns, mask=real, other=-float("inf")).to(dtype)
            higher = tl.maximum(peaks, tl.max(values, 0))
            shift = _finite(higher)
            sums = sums * tl.exp(peaks - shift) + tl.sum(tl.exp(values - shift[None, :]), 0)
            peaks = higher
            if means is not None:
                totals += tl.sum(tl.where(real, values, 0.0), 0)
        highest = tl.max(peaks, 0)
        shift = _finite(highest)
        normalizer = shift + tl.log(tl.sum(sums * tl.exp(peaks - shift), 0))
        # a row without any probability is no distribution
        normalizer = tl.where(highest == -float("inf"), float("nan"), normalizer)
        tl.store(normalizers + row, normalizer)
        if means is not None:
            tl.store(means + row, tl.sum(totals, 0) / size - normalizer)
        wanted_tokens = tokens + sentence * token_sentence_stride + slot.to(tl.int64) * token_slot_stride
        for start in range(0, count, TOKENS):
            real = start + window < count
            token = tl.load(wanted_tokens + start + window, mask=real, other=-1)
            value = _logits_of(base, token, size).to(dtype)
            tl.store(chosen + row * count + start + window, value - normalizer, mask=real)
    else:
        tl.store(normalizers + row, 0.0)
        if means is not None:
            tl.store(means + row, 0.0)
        for start in range(0, count, TOKENS):
            tl.store(chosen + row * count + start + window, 0.0, mask=start + window < count)


@triton.jit(do_not_specialize=CHANGING)
def gather_logits_kernel(
    logits: tl.tensor,
    tokens: tl.tensor,
    lengths: tl.tensor,
    chosen: tl.tensor,
    slots: tl.tensor,
    vocabulary: tl.tensor,
    sentence_stride: tl.tensor,
    slot_stride: tl.tensor,
    count: tl.tensor,
    token_sentence_stride: tl.tensor,
    token_slot_stride: tl.tensor,
    TOKENS: tl.constexpr,
) -> None:
    """One slot: the logits of ``count`` tokens, 0 beyond the length. (Its strides are not divided by anything.)"""
    row = tl.program_id(0)
    sentence = (row // slots).to(tl.int64)
    slot = row % slots
    inside = slot < tl.load(lengths + sentence)
    base = logits + sentence * sentence_stride + slot.to(tl.int64) * slot_stride
    wanted_tokens = tokens + sentence * token_sentence_stride + slot.to(tl.int64) * token_slot_stride
    for start in range(0, count, TOKENS):
        index = start + tl.arange(0, TOKENS)
        token = tl.load(wanted_tokens + index, mask=(index < count) & inside, other=-1)
        value = _logits_of(base, token, vocabulary).to(chosen.dtype.element_ty)
        tl.store(chosen + row.to(tl.int64) * count + index, tl.where(inside, value, 0.0), mask=index < count)


@triton.jit
def _finite(peaks: tl.tensor) -> tl.tensor:
    """What may be subtracted from values up to ``peaks`` without making NaN of -inf - -inf."""
    return tl.where(peaks == -float("inf"), 0.0, peaks)


@triton.jit
def _logits_of(base: tl.tensor, token: tl.tensor, size: tl.tensor) -> tl.tensor:
    """A row's logits of some tokens. A token outside the vocabulary has NaN, which the caller reports."""
    return tl.load(base + token, mask=(token >= 0) & (token < size), other=float("nan"))
