"""What only a GPU is asked: fused losses against a fused cross entropy and the copy bandwidth, and the programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from benchmarks import bars
from benchmarks.losses import LOSSES, step
from benchmarks.pivot import Figure, case_name, markdown
from benchmarks.problems import Shape, make_problem
from benchmarks.programs import programs
from scripts.lib.measuring.timing import measure, measure_pairs

LOSSES_MEASURED = ("axe", "causal_axe", "ctc", "oaxe")
# B, n, m, V: logits of 500 MB and more in float32
SHAPES = (Shape(64, 64, 64, 32000), Shape(128, 128, 128, 32000), Shape(256, 64, 64, 8000))
# (forward) read, (backward) read and write: what a loss from logits cannot do without
_PASSES = 3


def copy_bandwidth(size: int, device: str, repetitions: int) -> float:
    """Bytes a second, read and written, of a copy of ``size`` bytes on the device."""
    source, target = (torch.ones(size, dtype=torch.uint8, device=device) for _ in range(2))
    found = measure(lambda: target.copy_(source), repetitions=repetitions, budget=5.0, device=device)
    return 2 * size / (found.median / 1000)


def time_fused(
    shapes: Sequence[Shape],
    backends: Sequence[str],
    dtype: torch.dtype,
    *,
    repetitions: int,
    seconds: float,
    device: str,
    tell: Callable[[str], None],
) -> list[Figure]:
    """Each loss against our cross entropy, by the same backend on the same logits, and three passes over them."""
    figures = []
    for shape in shapes:
        for name in LOSSES_MEASURED:
            loss = LOSSES[name]
            canvas = loss.shape(shape)
            if canvas is None:
                continue
            problem = make_problem(canvas, device, dtype)
            size = canvas.logits_bytes(dtype)
            passes_ms = 1000 * _PASSES * size / copy_bandwidth(size, device, repetitions)
            for backend in backends:
                baseline = step(LOSSES["cross_entropy"], problem, backend)
                baseline()
                pairs = measure_pairs(
                    baseline,
                    step(loss, problem, backend),
                    repetitions=repetitions,
                    budget=seconds,
                    device=device,
                )
                figures.append(
                    {
                        "loss": name,
                        "title": loss.title,
                        "backend": backend,
                        "case": case_name(canvas),
                        "dtype": str(dtype).removeprefix("torch."),
                        "logits_bytes": size,
                        "ms": pairs.ms.median,
                        "to_cross_entropy": pairs.ratio.median,
                        "to_three_passes": pairs.ms.median / passes_ms,
                        "pairs": pairs.count,
                    }
                )
                tell(
                    f"{figures[-1]['case']}  {loss.title}, {backend}: {pairs.ms.median:.2f} ms, "
                    f"{pairs.ratio.median:.3f} x cross entropy, {figures[-1]['to_three_passes']:.2f} x three passes"
                )
    return figures


def time_programs(
    shapes: Sequence[Shape], backends: Sequence[str], *, repetitions: int, device: str, tell: Callable[[str], None]
) -> list[Figure]:
    """The dynamic programs alone, on windows that are there: microseconds a diagonal (AXE) or a slot (CTC)."""
    figures = []
    for shape in shapes:
        for backend in backends:
            for program in programs(shape, backend, device).values():
                found = measure(program.run, repetitions=repetitions, budget=3.0, device=device, at_once=10)
                figure = {
                    "title": program.title,
                    "backend": backend,
                    "case": str(shape),
                    "ms": found.median,
                    "steps": program.steps,
                    "us_a_step": 1000 * found.median / program.steps,
                }
                figures.append(figure)
                tell(f"{shape}  {program.title}, {backend}: {found.median:.3f} ms, {figure['us_a_step']:.2f} us a step")
    return figures


def tables(fused: Sequence[Figure], run: Sequence[Figure]) -> str:
    """Both, as Markdown."""
    body = [
        [
            *(row["title"], row["backend"], row["case"], row["dtype"], f"{row['logits_bytes'] / 1e6:.0f}"),
            *(f"{row['ms']:.2f}", f"{row['to_cross_entropy']:.2f}", f"{row['to_three_passes']:.2f}"),
            bars.verdict(
                [row["to_cross_entropy"] / bars.CUDA_FUSED, row["to_three_passes"] / bars.CUDA_PASSES],
                1.0,
            ),
        ]
        for row in fused
    ]
    headers = ["loss", "backend", "case", "dtype", "logits, MB", "ms"]
    headers += [f"× cross entropy (≤ {bars.CUDA_FUSED:g})", f"× three passes (≤ {bars.CUDA_PASSES:g})", ""]
    steps = [
        [row["title"], row["backend"], row["case"], f"{row['ms']:.3f}", f"{row['us_a_step']:.2f}", ""] for row in run
    ]
    programs_table = markdown(steps, ["program", "backend", "(B, n, m)", "ms", "µs a step", ""], left=3)
    return f"{markdown(body, headers, left=4)}\n\n{programs_table}"
