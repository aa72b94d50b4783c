"""Compiles every Triton kernel for CUDA, as calls of usual shapes would launch it; needs no GPU.

Run as a program, by tests/alignments/test_triton_backend.py: kernels that run under Triton's interpreter cannot be
compiled in the same process. Prints the number of binaries made.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from nat_plugin.alignments.backends import triton_backend
from nat_plugin.alignments.causality import Causality

CAPABILITIES = (70, 90)  # V100 and H100/H200
POINTERS = {
    torch.float64: "*fp64",
    torch.float32: "*fp32",
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.int64: "*i64",
    torch.int32: "*i32",
    torch.int16: "*i16",
    torch.int8: "*i8",
    torch.bool: "*i1",
}
binaries: list[int] = []


def compile_launch(kernel: Any, grid: Any, *arguments: Any, num_warps: int, **constants: Any) -> None:
    """In the place of a launch: as Triton would specialise it, without the device."""
    signature: dict[str, str] = {}
    for parameter, argument in zip(kernel.params, arguments, strict=False):
        if isinstance(argument, torch.Tensor):
            signature[parameter.name] = POINTERS[argument.dtype]
        elif argument is None or argument == 1:
            constants[parameter.name] = argument
        else:
            signature[parameter.name] = "fp32" if isinstance(argument, float) else "i32"
    signature |= dict.fromkeys(constants, "constexpr")
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    for capability in CAPABILITIES:
        made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": num_warps})
        binaries.append(len(made.asm["cubin"]))


def main() -> None:
    triton_backend._launch = compile_launch
    batch, slots, targets, vocabulary = 4, 90, 30, 8001
    logit_lengths, target_lengths = torch.full((batch,), slots), torch.full((batch,), targets)
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
        logits = torch.zeros(batch, slots, vocabulary, dtype=dtype)
        shared = torch.zeros(batch, 1, targets + 1, dtype=torch.int64)
        normalizers, window, means = triton_backend.read_slots(logits, shared, logit_lengths, True)
        triton_backend.read_slots(logits, torch.zeros(batch, slots, 1, dtype=torch.int64), logit_lengths, False)
        triton_backend.gather_logits(logits, shared, logit_lengths)
        assert means is not None
        for uniform in (means, None):
            triton_backend.write_gradient(logits, normalizers, shared, window, means, uniform, logit_lengths)
        if dtype in (torch.float16, torch.bfloat16):  # the programs see float32
            continue
        lprobs, blanks = window[:, :, :-1].contiguous(), window[:, :, -1].contiguous()
        for causal in Causality:
            triton_backend.axe_paths(lprobs, blanks, logit_lengths, target_lengths, 2.0, causal)
        arguments = (window, shared[:, 0, :-1], logit_lengths, target_lengths)
        triton_backend.ctc_occupancy(*arguments)
        triton_backend.ctc_best_paths(*arguments)
    assert all(size > 0 for size in binaries)
    print(len(binaries))


if __name__ == "__main__":
    main()
