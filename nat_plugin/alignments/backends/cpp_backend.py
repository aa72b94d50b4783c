"""The backend for CPUs: C++ without torch's headers, built by setup.py where there is a compiler.

The functions are called through ctypes and specified in :mod:`nat_plugin.alignments.backends.torch_backend`. They use
as many threads as torch does (``torch.set_num_threads``), over slots in the two passes over the logits and over
sentences in the programs.

A kernel trusts its pointers, so every tensor goes through a check here first: a wrong shape, device, token or length is
a ValueError that names it.
"""

from __future__ import annotations

import ctypes
import importlib
from typing import Optional

import torch
from torch import Tensor

from nat_plugin.alignments.backends.torch_backend import accumulation_dtype
from nat_plugin.alignments.causality import Causality

DEVICES = ("cpu",)


def _load_library() -> ctypes.CDLL:
    name = "nat_plugin.alignments._kernels"
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"the C++ kernels are not built ({error}): `pip install -e .` builds them where there is a C++ compiler"
        ) from error
    library = ctypes.CDLL(str(module.__file__))
    library.nat_first_outside.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64]
    library.nat_first_outside.restype = ctypes.c_int64
    return library


_LIBRARY = _load_library()
_Argument = Optional[Tensor | int | float | bool]
_FORMATS = {torch.float32: "f32", torch.float64: "f64", torch.float16: "f16", torch.bfloat16: "bf16"}


def read_slots(logits: Tensor, tokens: Tensor, lengths: Tensor, mean: bool) -> tuple[Tensor, Tensor, Optional[Tensor]]:
    """As :func:`.torch_backend.read_slots`."""
    rows, (batch, slots, vocabulary) = _rows(logits), logits.shape
    dtype = accumulation_dtype(logits)
    tokens, rows_a_list = _token_lists(tokens, logits)
    columns = tokens.size(2)
    normalizers = torch.empty(batch, slots, dtype=dtype)
    chosen = torch.empty(batch, slots, columns, dtype=dtype)
    means = torch.empty(batch, slots, dtype=dtype) if mean else None
    _call(
        "read",
        logits.dtype,
        *_pointer_and_strides(rows),
        tokens,
        _lengths("lengths", lengths, batch, slots),
        normalizers,
        chosen,
        means,
        *(batch, slots, columns, vocabulary, rows_a_list),
    )
    return normalizers, chosen, means


def gather_logits(logits: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
    """As :func:`.torch_backend.gather_logits`."""
    rows, (batch, slots, vocabulary) = _rows(logits), logits.shape
    tokens, rows_a_list = _token_lists(tokens, logits)
    columns = tokens.size(2)
    chosen = torch.empty(batch, slots, columns, dtype=accumulation_dtype(logits))
    _call(
        "gather",
        logits.dtype,
        *_pointer_and_strides(rows),
        tokens,
        _lengths("lengths", lengths, batch, slots),
        chosen,
        *(batch, slots, columns, vocabulary, rows_a_list),
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
    rows, (batch, slots, vocabulary) = _rows(logits), logits.shape
    dtype = accumulation_dtype(logits)
    tokens, rows_a_list = _token_lists(tokens, logits)
    columns = tokens.size(2)
    if out is not None and (out.shape, out.dtype, out.device) != (logits.shape, logits.dtype, logits.device):
        raise ValueError(
            f"out must be like the logits, {logits.dtype} {list(logits.shape)}, not {out.dtype} {list(out.shape)}"
        )
    written = out if out is not None and _has_rows_apart(out) else torch.empty(logits.shape, dtype=logits.dtype)
    per_slot = (batch, slots)
    _call(
        "write",
        logits.dtype,
        *_pointer_and_strides(rows),
        _ready("normalizers", normalizers, dtype, per_slot),
        tokens,
        _ready("token_weights", token_weights, dtype, (batch, slots, columns)),
        _ready("softmax_weights", softmax_weights, dtype, per_slot),
        None if uniform_weights is None else _ready("uniform_weights", uniform_weights, dtype, per_slot),
        _lengths("lengths", lengths, batch, slots),
        *_pointer_and_strides(written),
        *(batch, slots, columns, vocabulary, rows_a_list),
    )
    return written if out is None or out is written else out.copy_(written)


def axe_paths(
    target_lprobs: Tensor,
    blank_lprobs: Tensor,
    logit_lengths: Tensor,
    target_lengths: Tensor,
    skip_target_penalty: float,
    causal: Causality,
) -> tuple[Tensor, Tensor]:
    """As :func:`.torch_backend.axe_paths`."""
    batch, slots, targets = target_lprobs.shape
    dtype = target_lprobs.dtype
    positions = torch.empty(batch, targets, dtype=torch.int64)
    aligned = torch.empty(batch, targets, dtype=torch.bool)
    _call(
        "axe_paths",
        dtype,
        _ready("target_lprobs", target_lprobs, dtype, (batch, slots, targets)),
        _ready("blank_lprobs", blank_lprobs, dtype, (batch, slots)),
        _lengths("logit_lengths", logit_lengths, batch, slots),
        _lengths("target_lengths", target_lengths, batch, targets),
        positions,
        aligned,
        *(batch, slots, targets),
        float(skip_target_penalty),
        int(causal),
    )
    return positions, aligned


def ctc_occupancy(
    lprobs: Tensor, targets: Tensor, logit_lengths: Tensor, target_lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """As :func:`.torch_ctc.ctc_occupancy`."""
    costs = torch.empty(lprobs.size(0), dtype=lprobs.dtype)
    occupancy = torch.empty(lprobs.shape, dtype=lprobs.dtype)
    _call_ctc("ctc_occupancy", lprobs, targets, logit_lengths, target_lengths, costs, occupancy)
    return costs, occupancy


def ctc_best_paths(lprobs: Tensor, targets: Tensor, logit_lengths: Tensor, target_lengths: Tensor) -> Tensor:
    """As :func:`.torch_backend.ctc_best_paths`."""
    paths = torch.empty(lprobs.shape[:2], dtype=torch.int64)
    _call_ctc("ctc_best_paths", lprobs, targets, logit_lengths, target_lengths, paths)
    return paths


def _call_ctc(
    name: str, lprobs: Tensor, targets: Tensor, logit_lengths: Tensor, target_lengths: Tensor, *results: Tensor
) -> None:
    batch, slots, columns = lprobs.shape
    _call(
        name,
        lprobs.dtype,
        _ready("lprobs", lprobs, lprobs.dtype, (batch, slots, columns)),
        _ready("targets", targets, torch.int64, (batch, columns - 1)),
        _lengths("logit_lengths", logit_lengths, batch, slots),
        _lengths("target_lengths", target_lengths, batch, columns - 1),
        *results,
        *(batch, slots, columns),
    )


def _ready(name: str, tensor: Tensor, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """The tensor as the kernels read it: on the CPU, of this type, dense."""
    if tensor.shape != shape or tensor.device.type != "cpu":
        raise ValueError(f"{name} must be {list(shape)} on the CPU, not {list(tensor.shape)} on {tensor.device}")
    return tensor.to(dtype).contiguous()


def _lengths(name: str, lengths: Tensor, batch: int, longest: int) -> Tensor:
    lengths = _ready(name, lengths, torch.int64, (batch,))
    sentence = _LIBRARY.nat_first_outside(lengths.data_ptr(), batch, 0, longest)
    if sentence >= 0:
        raise ValueError(f"{name} must be in 0..{longest}, but that of sentence {sentence} is {int(lengths[sentence])}")
    return lengths


def _token_lists(tokens: Tensor, logits: Tensor) -> tuple[Tensor, int]:
    """Tokens as the kernels want them, and how many slots share a list."""
    batch, slots, vocabulary = logits.shape
    shared = tokens.dim() == 3 and tokens.size(1) == 1
    tokens = _ready("tokens", tokens, torch.int64, (batch, 1 if shared else slots, *tokens.shape[2:]))
    first = _LIBRARY.nat_first_outside(tokens.data_ptr(), tokens.numel(), 0, vocabulary - 1)
    if first >= 0:
        sentence, found = first * batch // tokens.numel(), int(tokens.view(-1)[first])
        raise ValueError(
            f"token {found} of sentence {sentence} is outside the vocabulary of {vocabulary}: padding too must be in "
            "0..V-1"
        )
    return tokens, slots if shared else 1


def _rows(logits: Tensor) -> Tensor:
    """Logits whose last dimension is dense; a view that leaves out slots or sentences is not copied."""
    return logits if logits.stride(2) == 1 else logits.contiguous()


def _has_rows_apart(out: Tensor) -> bool:
    """Whether rows are dense and none lies in another's memory, so that each can be written where it is."""
    outer = [out.stride(dimension) for dimension in (0, 1) if out.size(dimension) > 1]
    return out.stride(2) == 1 and all(stride >= out.size(2) for stride in outer)


def _pointer_and_strides(rows: Tensor) -> tuple[Tensor, int, int]:
    return rows, rows.stride(0), rows.stride(1)


def _call(name: str, dtype: torch.dtype, *arguments: _Argument) -> None:
    """Call ``nat_<name>_<format>`` with these arguments and the number of threads."""
    function = getattr(_LIBRARY, f"nat_{name}_{_FORMATS[dtype]}")
    function.restype = None
    function(*map(_in_c, arguments), ctypes.c_int(torch.get_num_threads()))


def _in_c(value: _Argument) -> ctypes.c_void_p | ctypes.c_int64 | ctypes.c_int | ctypes.c_double:
    if value is None or isinstance(value, Tensor):
        return ctypes.c_void_p(None if value is None else value.data_ptr())
    if isinstance(value, bool):
        return ctypes.c_int(value)
    return ctypes.c_double(value) if isinstance(value, float) else ctypes.c_int64(value)
