"""The backend for CPUs: C++ without torch's headers, built by setup.py where there is a compiler.

The functions are called through ctypes and specified in :mod:`nat_plugin.alignments.backends.torch_backend`. They use
as many threads as torch does (``torch.set_num_threads``), over slots in the two passes over the logits and over
sentences in the programs.
"""

from __future__ import annotations

import ctypes
import importlib
from typing import Optional

import torch
from torch import Tensor

from nat_plugin.alignments.backends.torch_backend import accumulation_dtype

DEVICES = ("cpu",)


def _load_library() -> ctypes.CDLL:
    name = "nat_plugin.alignments._kernels"
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"the C++ kernels are not built ({error}): `pip install -e .` builds them where there is a C++ compiler"
        ) from error
    return ctypes.CDLL(str(module.__file__))


_LIBRARY = _load_library()
_FORMATS = {torch.float32: "f32", torch.float64: "f64", torch.float16: "f16", torch.bfloat16: "bf16"}


def read_slots(logits: Tensor, tokens: Tensor, lengths: Tensor, mean: bool) -> tuple[Tensor, Tensor, Optional[Tensor]]:
    logits, (batch, slots, vocabulary) = logits.contiguous(), logits.shape
    dtype = accumulation_dtype(logits)
    tokens, rows_a_list = _token_lists(tokens, slots)
    columns = tokens.size(2)
    normalizers = torch.empty(batch, slots, dtype=dtype)
    chosen = torch.empty(batch, slots, columns, dtype=dtype)
    means = torch.empty(batch, slots, dtype=dtype) if mean else None
    sizes = (batch, slots, columns, vocabulary, rows_a_list)
    _call("read", logits.dtype, (logits, tokens, lengths.contiguous(), normalizers, chosen, means), sizes)
    return normalizers, chosen, means


def gather_logits(logits: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
    logits, (batch, slots, vocabulary) = logits.contiguous(), logits.shape
    tokens, rows_a_list = _token_lists(tokens, slots)
    columns = tokens.size(2)
    chosen = torch.empty(batch, slots, columns, dtype=accumulation_dtype(logits))
    sizes = (batch, slots, columns, vocabulary, rows_a_list)
    _call("gather", logits.dtype, (logits, tokens, lengths.contiguous(), chosen), sizes)
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
    given, (batch, slots, vocabulary) = logits.contiguous(), logits.shape
    if out is None:
        written = torch.empty(given.shape, dtype=given.dtype)
    else:
        written = out if out.is_contiguous() else torch.empty(given.shape, dtype=given.dtype)
    tokens, rows_a_list = _token_lists(tokens, slots)
    tensors = (
        given,
        normalizers.contiguous(),
        tokens,
        token_weights.contiguous(),
        softmax_weights.contiguous(),
        None if uniform_weights is None else uniform_weights.contiguous(),
        lengths.contiguous(),
        written,
    )
    _call("write", logits.dtype, tensors, (batch, slots, tokens.size(2), vocabulary, rows_a_list))
    return written if out is None or out is written else out.copy_(written)


def axe_paths(
    target_lprobs: Tensor,
    blank_lprobs: Tensor,
    logit_lengths: Tensor,
    target_lengths: Tensor,
    skip_target_penalty: float,
    causal: bool,
) -> tuple[Tensor, Tensor]:
    batch, slots, targets = target_lprobs.shape
    positions = torch.empty(batch, targets, dtype=torch.int64)
    aligned = torch.empty(batch, targets, dtype=torch.bool)
    tensors = (
        target_lprobs.contiguous(),
        blank_lprobs.contiguous(),
        logit_lengths.contiguous(),
        target_lengths.contiguous(),
        positions,
        aligned,
    )
    extra = (ctypes.c_double(skip_target_penalty), ctypes.c_int(causal))
    _call("axe_paths", target_lprobs.dtype, tensors, (batch, slots, targets), extra)
    return positions, aligned


def ctc_occupancy(
    lprobs: Tensor, targets: Tensor, logit_lengths: Tensor, target_lengths: Tensor
) -> tuple[Tensor, Tensor]:
    lprobs = lprobs.contiguous()
    costs = torch.empty(lprobs.size(0), dtype=lprobs.dtype)
    occupancy = torch.empty_like(lprobs)
    tensors = (
        lprobs,
        targets.contiguous(),
        logit_lengths.contiguous(),
        target_lengths.contiguous(),
        costs,
        occupancy,
    )
    _call("ctc_occupancy", lprobs.dtype, tensors, tuple(lprobs.shape))
    return costs, occupancy


def ctc_best_paths(lprobs: Tensor, targets: Tensor, logit_lengths: Tensor, target_lengths: Tensor) -> Tensor:
    lprobs = lprobs.contiguous()
    paths = torch.empty(lprobs.shape[:2], dtype=torch.int64)
    tensors = (lprobs, targets.contiguous(), logit_lengths.contiguous(), target_lengths.contiguous(), paths)
    _call("ctc_best_paths", lprobs.dtype, tensors, tuple(lprobs.shape))
    return paths


def _token_lists(tokens: Tensor, slots: int) -> tuple[Tensor, int]:
    """Tokens as the kernels want them, and how many slots share a list."""
    return tokens.contiguous(), slots if tokens.size(1) == 1 else 1


def _call(
    name: str,
    dtype: torch.dtype,
    tensors: tuple[Optional[Tensor], ...],
    sizes: tuple[int, ...],
    extra: tuple[ctypes.c_double | ctypes.c_int, ...] = (),
) -> None:
    """Call ``nat_<name>_<format>`` with pointers, sizes, what else it takes, and the number of threads."""
    pointers = [ctypes.c_void_p(None if tensor is None else tensor.data_ptr()) for tensor in tensors]
    function = getattr(_LIBRARY, f"nat_{name}_{_FORMATS[dtype]}")
    function.restype = None
    function(*pointers, *map(ctypes.c_int64, sizes), *extra, ctypes.c_int(torch.get_num_threads()))
