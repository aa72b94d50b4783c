"""The backend for CUDA: one kernel launch for each pass over the logits and for each program but CTC's, which has two.

Nothing here waits for the device or looks at values: shapes alone decide what is launched. The functions are those of
:mod:`.torch_backend`, which states what each computes. Under TRITON_INTERPRET=1 they run on CPU tensors too, slowly.
"""

from __future__ import annotations

import contextlib
import math
import os
from typing import Any, Optional

import torch
from torch import Tensor

from nat_plugin.alignments.backends.torch_backend import accumulation_dtype
from nat_plugin.alignments.backends.triton_kernels import axe, ctc, ctc_best_path, gradient, slots
from nat_plugin.alignments.causality import Causality

DEVICES = ("cpu", "cuda") if os.environ.get("TRITON_INTERPRET") == "1" else ("cuda",)

_WARPS = 4
_THREADS = 32 * _WARPS
_VECTOR_BYTES = 16  # what a thread loads at once
_VECTORS = 4  # and how often, before it goes on to compute
_DUPLICATES = 4096  # pairs of listed tokens compared at once


def read_slots(logits: Tensor, tokens: Tensor, lengths: Tensor, mean: bool) -> tuple[Tensor, Tensor, Optional[Tensor]]:
    """As :func:`.torch_backend.read_slots`."""
    rows = _rows(logits)
    tokens = _rows(tokens)
    batch, width, vocabulary = rows.shape
    dtype = accumulation_dtype(rows)
    count = tokens.size(2)
    normalizers = rows.new_empty(batch, width, dtype=dtype)
    chosen = rows.new_empty(batch, width, count, dtype=dtype)
    means = torch.empty_like(normalizers) if mean else None
    align = _alignment(vocabulary, rows)
    lanes = _block(vocabulary, _THREADS * _VECTOR_BYTES // rows.element_size())
    _launch(
        slots.read_slots_kernel,
        (batch * width,),
        rows,
        tokens,
        lengths.contiguous(),
        normalizers,
        chosen,
        means,
        width,
        vocabulary // align,
        rows.stride(0) // align,
        rows.stride(1) // align,
        count,
        *_token_strides(tokens),
        ALIGN=align,
        ROWS=_VECTORS,
        LANES=lanes,
        TOKENS=_block(count, _THREADS),
        num_warps=_WARPS,
    )
    return normalizers, chosen, means


def gather_logits(logits: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
    """As :func:`.torch_backend.gather_logits`."""
    rows = _rows(logits)
    tokens = _rows(tokens)
    batch, width, vocabulary = rows.shape
    count = tokens.size(2)
    chosen = rows.new_empty(batch, width, count, dtype=accumulation_dtype(rows))
    _launch(
        slots.gather_logits_kernel,
        (batch * width,),
        rows,
        tokens,
        lengths.contiguous(),
        chosen,
        width,
        vocabulary,
        rows.stride(0),
        rows.stride(1),
        count,
        *_token_strides(tokens),
        TOKENS=_block(count, _THREADS),
        num_warps=_WARPS,
    )
    return chosen


def write_gradient(
    logits: Tensor,
    normalizers: Tensor,
    tokens: Tensor,
    token_weights: Tensor,
    softmax_weights: Tensor,
    uniform_weights: Optional[Tensor],
    lengths: Tensor,
    out: Optional[Tensor] = None,
) -> Tensor:
    """As :func:`.torch_backend.write_gradient`."""
    out = torch.empty_like(logits, memory_format=torch.contiguous_format) if out is None else out
    rows = _rows(logits)
    out_rows = _rows(out)
    tokens = _rows(tokens)
    batch, width, vocabulary = rows.shape
    count = tokens.size(2)
    align = _alignment(vocabulary, rows, out_rows)
    listed = _block(count)
    _launch(
        gradient.write_gradient_kernel,
        (batch * width,),
        rows,
        normalizers.contiguous(),
        tokens,
        token_weights.contiguous(),
        softmax_weights.contiguous(),
        None if uniform_weights is None else uniform_weights.contiguous(),
        lengths.contiguous(),
        out_rows,
        width,
        vocabulary // align,
        rows.stride(0) // align,
        rows.stride(1) // align,
        out_rows.stride(0) // align,
        out_rows.stride(1) // align,
        count,
        *_token_strides(tokens),
        ALIGN=align,
        BLOCK=_block(vocabulary, _VECTORS * _THREADS * _VECTOR_BYTES // rows.element_size()),
        TOKENS=listed,
        CHUNK=max(1, min(listed, _DUPLICATES // listed)),
        num_warps=_WARPS,
    )
    if out_rows is not out:
        out.copy_(out_rows)
    return out


def axe_paths(
    target_lprobs: Tensor,
    blank_lprobs: Tensor,
    logit_lengths: Tensor,
    target_lengths: Tensor,
    skip_target_penalty: float,
    causal: Causality,
) -> tuple[Tensor, Tensor]:
    """As :func:`.torch_backend.axe_paths`."""
    batch, width, count = target_lprobs.shape
    positions = target_lprobs.new_empty(batch, count, dtype=torch.int64)
    aligned = target_lprobs.new_empty(batch, count, dtype=torch.bool)
    if count == 0:
        return positions, aligned
    entry_dtype = torch.int16 if 2 * count + 1 < 2**15 else torch.int32
    lanes = _block(count)
    _launch(
        axe.axe_kernel,
        (batch,),
        target_lprobs,
        blank_lprobs,
        logit_lengths.contiguous(),
        target_lengths.contiguous(),
        target_lprobs.new_empty(batch, width, count, dtype=entry_dtype),
        positions,
        aligned,
        width,
        count,
        float(skip_target_penalty),
        CAUSAL=int(causal),
        LANES=lanes,
        # within one warp lanes talk by shuffles, without a barrier
        num_warps=_warps(lanes, 256),
    )
    return positions, aligned


def ctc_occupancy(
    lprobs: Tensor, targets: Tensor, logit_lengths: Tensor, target_lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """As :func:`.torch_backend.ctc_occupancy`; each occurrence of a repeated target has an occupancy of its own."""
    batch, width, columns = lprobs.shape
    lanes = _block(columns)
    costs = lprobs.new_empty(batch)
    occupancy = torch.empty_like(lprobs)
    lattice = lprobs.new_empty(2, batch, width, 2, columns)
    logit_lengths = logit_lengths.contiguous()
    _launch(
        ctc.ctc_lattice_kernel,
        (batch, 2),
        lprobs,
        targets.contiguous(),
        logit_lengths,
        target_lengths.contiguous(),
        lattice,
        costs,
        batch,
        width,
        columns - 1,
        LANES=lanes,
        # a state costs half a dozen exponentials a slot, of which one warp's share of the chip makes few at once
        num_warps=_warps(lanes, 64),
    )
    _launch(
        ctc.ctc_occupancy_kernel,
        (batch * width,),
        lattice,
        costs,
        logit_lengths,
        occupancy,
        batch,
        width,
        columns - 1,
        LANES=lanes,
        num_warps=_warps(lanes, 128),
    )
    return costs, occupancy


def ctc_best_paths(lprobs: Tensor, targets: Tensor, logit_lengths: Tensor, target_lengths: Tensor) -> Tensor:
    """As :func:`.torch_backend.ctc_best_paths`."""
    batch, width, columns = lprobs.shape
    lanes = _block(columns)
    found = lprobs.new_empty(batch, width, dtype=torch.int64)
    _launch(
        ctc_best_path.ctc_best_path_kernel,
        (batch,),
        lprobs,
        targets.contiguous(),
        logit_lengths.contiguous(),
        target_lengths.contiguous(),
        lprobs.new_empty(batch, width, columns, dtype=torch.int8),
        found,
        width,
        columns - 1,
        LANES=lanes,
        num_warps=_warps(lanes, 128),
    )
    return found


def _launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **options: Any) -> None:
    """Queue a kernel on the device of its first argument, which need not be the current one."""
    device = arguments[0].device
    with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
        kernel[grid](*arguments, **options)


def _rows(tensor: Tensor) -> Tensor:
    """With the last dimension side by side in memory: itself in all but unusual cases."""
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def _token_strides(tokens: Tensor) -> tuple[int, int]:
    """From sentence to sentence, and from slot to slot: 0 where all slots share one list."""
    return tokens.stride(0), tokens.stride(1) if tokens.size(1) > 1 else 0


def _alignment(vocabulary: int, *rows: Tensor) -> int:
    """The largest power of two, up to 16, that divides the vocabulary and the distances between rows."""
    return math.gcd(16, vocabulary, *(stride for tensor in rows for stride in tensor.stride()[:2]))


def _block(size: int, limit: int = 2**31) -> int:
    """The power of two that holds ``size``, at most ``limit``: Triton's blocks have such sizes."""
    return min(limit, 1 << max(0, size - 1).bit_length())


def _warps(lanes: int, lanes_a_warp: int) -> int:
    return max(1, min(8, lanes // lanes_a_warp))
