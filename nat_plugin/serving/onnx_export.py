"""Writing an ONNX file, and one with weights of 8 bits (the extra ``onnx``)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_path
from nat_plugin.serving.graph import OnePassGraph

INPUT = "src_tokens"
OUTPUTS = ("tokens", "lengths", "scores")


def check_installed() -> None:
    """Say what to install.

    Raises:
        UserError: onnx, onnxscript or onnxruntime is missing.
    """
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(name)
        except ImportError as error:
            raise UserError(f"exporting needs {name} ({error}): pip install '.[onnx]'.") from error


def export_onnx(graph: OnePassGraph, example: Tensor, path: Path) -> None:
    """Write the graph, with any number of sentences and of source tokens.

    Args:
        example: [B, S] source tokens, B and S at least 2; only their shape matters.
        path: of the ``.onnx`` file.

    Raises:
        UserError: what it needs is not installed.
    """
    check_installed()
    shapes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("source", max=graph.longest_source)}
    # fairseq lets everybody's debugging through
    with torch.no_grad(), warnings.catch_warnings(), _quiet("onnx_ir", "onnxscript", "torch.onnx"):
        warnings.simplefilter("ignore")
        exported = torch.export.export(graph, (example,), dynamic_shapes={INPUT: shapes}, strict=False)
        program = torch.onnx.export(
            exported, (), dynamo=True, input_names=[INPUT], output_names=list(OUTPUTS), verbose=False
        )
    assert program is not None
    with atomic_path(path) as temporary:
        program.save(str(temporary))


def quantise(path: Path, quantised: Path, *, reduce_range: bool = False) -> None:
    """Write a copy whose matrix products are done in 8 bits.

    Weights are rounded once, each output channel on its own scale; activations on the fly, so that no data are needed
    (dynamic quantisation). Embeddings, attention weights, layer norms and the scores stay in single precision.

    Args:
        reduce_range: weights of 7 bits, for processors without VNNI (before Intel's Cascade Lake and AMD's Zen 4), on
            which sums of two products of 8 bits can overflow.

    Raises:
        UserError: what it needs is not installed.
    """
    check_installed()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with atomic_path(quantised) as temporary, _quiet("root"):
        quantize_dynamic(
            path,
            temporary,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            reduce_range=reduce_range,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Let these loggers say errors alone, and be as they were afterwards."""
    levels = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
