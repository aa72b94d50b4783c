"""Writing the logits' gradient, one program a slot; addresses as in :mod:`.slots`."""

from __future__ import annotations

import triton
import triton.language as tl

CHANGING = [
    "slots",
    "vocabulary",
    "sentence_stride",
    "slot_stride",
    "out_sentence_stride",
    "out_slot_stride",
    "count",
    "token_sentence_stride",
    "token_slot_stride",
]


@triton.jit(do_not_specialize=CHANGING)
def write_gradient_kernel(
    logits: tl.tensor,
    normalizers: tl.tensor,
    tokens: tl.tensor,
    token_weights: tl.tensor,
    softmax_weights: tl.tensor,
    uniform_weights: tl.tensor,  # or None
    lengths: tl.tensor,
    out: tl.tensor,
    slots: tl.tensor,
    vocabulary: tl.tensor,
    sentence_stride: tl.tensor,
    slot_stride: tl.tensor,
    out_sentence_stride: tl.tensor,
    out_slot_stride: tl.tensor,
    count: tl.tensor,
    token_sentence_stride: tl.tensor,
    token_slot_stride: tl.tensor,
    ALIGN: tl.constexpr,
    BLOCK: tl.constexpr,
    TOKENS: tl.constexpr,
    CHUNK: tl.constexpr,
) -> None:
    """One slot: u/V - s·p(v) for every token, and the weights of its ``count`` tokens on top.

    ``out`` may be ``logits`` itself. So the listed tokens' logits are read first, then the whole row is written, and
    last the listed tokens once more: from what was read, with all their weights, in full precision, rounded once. A
    token that is listed twice is written twice, with the same value.

    TOKENS holds the whole list; CHUNK of it are compared with all at once to add up what stands in it twice.
    """
    row = tl.program_id(0)
    sentence = (row // slots).to(tl.int64)
    slot = (row % slots).to(tl.int64)
    row = row.to(tl.int64)
    dtype = normalizers.dtype.element_ty
    size = vocabulary * ALIGN
    base = logits + (sentence * sentence_stride + slot * slot_stride) * ALIGN
    target = out + (sentence * out_sentence_stride + slot * out_slot_stride) * ALIGN
    tokens += sentence * token_sentence_stride + slot * token_slot_stride
    token_weights += row * count
    block = tl.arange(0, BLOCK)
    listed = tl.arange(0, TOKENS)

    weight = tl.load(token_weights + listed, mask=listed < count, other=0.0)
    softmax = tl.load(softmax_weights + row)
    uniform = tl.full((), 0.0, dtype)
    alive = (softmax != 0.0) | _any_but_zero(weight)
    if uniform_weights is not None:
        uniform = tl.load(uniform_weights + row)
        alive = alive | (uniform != 0.0)
        uniform = uniform / size
    if alive & (slot < tl.load(lengths + sentence)):
        normalizer = tl.load(normalizers + row)
        token = tl.load(tokens + listed, mask=listed < count, other=-1)
        written_last = (weight != 0.0) & (token >= 0) & (token < size)
        before = tl.load(base + token, mask=written_last, other=0.0).to(dtype)
        tl.debug_barrier()  # all threads have read before one writes
        for start in range(0, size, BLOCK):
            columns = start + block
            values = tl.load(base + columns, mask=columns < size, other=0.0).to(dtype)
            dense = _without_tokens(values, normalizer, softmax, uniform)
            tl.store(target + columns, dense.to(out.dtype.element_ty), mask=columns < size)
        summed = tl.full([TOKENS], 0.0, dtype)
        for start in range(0, count, CHUNK):
            others = start + tl.arange(0, CHUNK)
            other_weight = tl.load(token_weights + others, mask=others < count, other=0.0)
            if _any_but_zero(other_weight):
                other_token = tl.load(tokens + others, mask=others < count, other=-1)
                same = token[:, None] == other_token[None, :]
                summed += tl.sum(tl.where(same, other_weight[None, :], 0.0), 1)
        tl.debug_barrier()  # the row is written before its tokens are written over it
        at_tokens = _without_tokens(before, normalizer, softmax, uniform) + summed
        tl.store(target + token, at_tokens.to(out.dtype.element_ty), mask=written_last)
    else:
        for start in range(0, size, BLOCK):
            columns = start + block
            tl.store(target + columns, 0.0, mask=columns < size)


@triton.jit
def _any_but_zero(weights: tl.tensor) -> tl.tensor:
    """Whether a block holds anything but zeros; NaN is something."""
    return tl.max((weights != 0.0).to(tl.int32), 0) > 0


@triton.jit
def _without_tokens(values: tl.tensor, normalizer: tl.tensor, softmax: tl.tensor, uniform: tl.tensor) -> tl.tensor:
    """u/V - s·p(v); without the second term, which could be 0·inf, where s is 0."""
    return uniform - tl.where(softmax != 0.0, softmax * tl.exp(values - normalizer), 0.0)
