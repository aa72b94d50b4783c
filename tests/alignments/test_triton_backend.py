"""The Triton kernels: on CUDA where there is one, else under Triton's interpreter; compiled for CUDA in both cases."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed")

from nat_plugin.alignments import axe_loss, ctc_loss
from nat_plugin.alignments.backends import torch_backend, triton_backend
from nat_plugin.alignments.causality import Causality
from tests.alignments.problems import lengths
from tests.alignments.test_backends import Problem, by_symbol, path_costs

ROOT = Path(__file__).resolve().parents[2]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# few and small: the interpreter takes seconds for each
PROBLEMS = {
    "one slot, one word": {"sizes": [(1, 1)], "words": 2, "seed": 1, "dtype": torch.float32, "impossible": 0.0},
    "no targets": {"sizes": [(0, 3), (0, 1)], "words": 5, "seed": 2, "dtype": torch.float32, "impossible": 0.0},
    "more targets than slots": {
        "sizes": [(9, 4), (3, 1)],
        "words": 7,
        "seed": 3,
        "dtype": torch.float64,
        "impossible": 0.0,
    },
    "repeats": {"sizes": [(5, 12), (6, 7)], "words": 3, "seed": 4, "dtype": torch.float32, "impossible": 0.0},
    "impossible symbols": {
        "sizes": [(4, 11), (7, 13)],
        "words": 23,
        "seed": 5,
        "dtype": torch.float64,
        "impossible": 0.1,
    },
}


@pytest.fixture(params=PROBLEMS.values(), ids=PROBLEMS.keys())
def problem(request: pytest.FixtureRequest) -> Problem:
    return Problem(**request.param)


def on_device(arguments: Any) -> list[Any]:
    return [each.to(DEVICE) if isinstance(each, torch.Tensor) else each for each in arguments]


def run(function: str, *arguments: Any) -> tuple[Any, Any]:
    """What the Triton backend gives, brought to the CPU, and what the torch backend gives."""
    found = getattr(triton_backend, function)(*on_device(arguments))
    expected = getattr(torch_backend, function)(*arguments)
    return (
        tuple(part.cpu() for part in found) if isinstance(found, tuple) else found.cpu(),
        expected,
    )


def test_the_passes_over_the_logits(problem: Problem) -> None:
    logits, tokens, slots = problem.logits, problem.tokens, problem.logit_lengths
    found, expected = run("read_slots", logits, tokens, slots, True)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, **problem.tolerance)
    batch, m, columns = problem.window.shape
    weights = (problem.weights(batch, m, columns), problem.weights(batch, m), problem.weights(batch, m))
    gradients = run("write_gradient", logits, expected[0], tokens, *weights, slots)
    torch.testing.assert_close(*gradients, **problem.tolerance)
    torch.testing.assert_close(*run("gather_logits", logits, tokens, slots))


@pytest.mark.parametrize("causal", Causality)
def test_axe(problem: Problem, causal: Causality) -> None:
    window = problem.window
    arguments = (
        window[:, :, :-1].contiguous(),
        window[:, :, -1].contiguous(),
        problem.logit_lengths,
        problem.target_lengths,
        1.5,
        causal,
    )
    found, expected = run("axe_paths", *arguments)
    torch.testing.assert_close(path_costs(arguments, found), path_costs(arguments, expected), **problem.tolerance)


def test_ctc(problem: Problem) -> None:
    arguments = (problem.window, problem.targets, problem.logit_lengths, problem.target_lengths)
    (costs, occupancy), (expected_costs, expected_occupancy) = run("ctc_occupancy", *arguments)
    torch.testing.assert_close(costs, expected_costs, **problem.tolerance)
    symbols = by_symbol(occupancy, problem), by_symbol(expected_occupancy, problem)
    torch.testing.assert_close(*symbols, rtol=1e-3, atol=1e-3)
    paths = run("ctc_best_paths", *arguments)
    scores = [problem.window.gather(2, path.unsqueeze(2)).sum((1, 2)) for path in paths]
    torch.testing.assert_close(*scores, **problem.tolerance)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_whole_losses_from_half_precision_with_padding_that_holds_nan(dtype: torch.dtype) -> None:
    logits = torch.randn(2, 7, 37).to(dtype)
    logits[1, 5:] = float("nan")
    slots, targets, goals = lengths(7, 5), lengths(4, 2), torch.randint(1, 37, (2, 4))
    results = []
    for backend, device in (("triton", DEVICE), ("torch", "cpu")):
        leaf = logits.to(device, copy=True).requires_grad_()
        arguments = (leaf, goals.to(device), slots.to(device), targets.to(device))
        options = {"blank_idx": 0, "label_smoothing": 0.1, "backend": backend}
        loss = axe_loss(*arguments, **options) + ctc_loss(*arguments, **options)
        loss.backward()
        assert leaf.grad is not None
        results.append((loss.detach().cpu(), leaf.grad.cpu()))
    (loss, gradient), (expected_loss, expected_gradient) = results
    torch.testing.assert_close(loss, expected_loss, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-2, atol=1e-3)
    assert gradient[1, 5:].abs().sum() == 0


def test_every_kernel_compiles_for_cuda() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    made = subprocess.run(
        [sys.executable, "-m", "tests.alignments.triton_compilation"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr[-2000:]
    assert int(made.stdout) == 64
