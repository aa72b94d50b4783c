"""Time and memory of the losses on the CPU or a GPU, case by case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Callable, Optional

import torch

from benchmarks import bars
from benchmarks.losses import LOSSES, Loss, baseline_step, step
from benchmarks.pivot import Figure, case_name
from benchmarks.problems import BLANK, Problem, Shape, make_problem
from nat_plugin.alignments import ctc_best_alignment
from scripts.lib.measuring.memory import extra_peak
from scripts.lib.measuring.timing import measure, measure_pairs

VITERBI = (32, 30, 90)


@dataclass(frozen=True)
class Plan:
    """What is measured, and how long.

    Attributes:
        losses: keys of :data:`benchmarks.losses.LOSSES`.
        backends: names; losses that are not ours are measured once.
        shapes: with their vocabularies.
        repetitions, seconds: see :func:`scripts.lib.measuring.timing.measure_pairs`.
        device: ``cpu`` or ``cuda``.
        dtype: of the logits.
        clock: see :func:`scripts.lib.measuring.timing.seconds`.
    """

    losses: Sequence[str]
    backends: Sequence[str]
    shapes: Sequence[Shape]
    repetitions: int
    seconds: float
    device: str
    dtype: torch.dtype
    clock: str

    def bar(self, known: dict[str, float], backend: Optional[str]) -> Optional[float]:
        """A bar for a backend; those on time and memory are for a CPU."""
        return known.get(backend or "") if self.device == "cpu" else None


def time_losses(plan: Plan, tell: Callable[[str], None]) -> list[Figure]:
    """Each loss against fairseq's cross entropy on the same logits, forward and backward."""
    figures = []
    for problem, case, cases in _problems(plan):
        baseline = baseline_step(problem)
        baseline()
        for name, loss, backend in cases:
            pairs = measure_pairs(
                baseline,
                step(loss, problem, backend),
                repetitions=plan.repetitions,
                budget=plan.seconds,
                device=plan.device,
                clock=plan.clock,
            )
            figure = _figure(name, loss, backend, case, problem) | {
                "ratio": pairs.ratio.median,
                "ratio_quartiles": [pairs.ratio.low, pairs.ratio.high],
                "ms": pairs.ms.median,
                "baseline_ms": pairs.baseline_ms.median,
                "pairs": pairs.count,
                "bar": plan.bar(bars.RATIO.get(name, {}), backend),
            }
            figures.append(figure)
            tell(
                f"{case}  {_label(figure)}: {pairs.ratio.median:.3f} x [{pairs.ratio.low:.3f}, {pairs.ratio.high:.3f}]"
                f"  ({pairs.ms.median:.1f} ms, {pairs.count} pairs)"
            )
    return _in_order(figures)


def weigh_losses(plan: Plan, tell: Callable[[str], None]) -> list[Figure]:
    """The extra memory at the peak of forward and backward, in units of the logits."""
    figures = []
    for problem, case, cases in _problems(plan):
        for name, loss, backend in cases:
            peak = extra_peak(step(loss, problem, backend), plan.device)
            size = problem.shape.logits_bytes(plan.dtype)
            known = bars.MEMORY if name in bars.RATIO else {}
            figure = _figure(name, loss, backend, case, problem) | {
                "extra_bytes": peak,
                "logits_bytes": size,
                "extra": None if peak is None else peak / size,
                "bar": plan.bar(known, backend),
            }
            figures.append(figure)
            shown = "cannot be measured on this system" if peak is None else f"{peak / size:.3f} x the logits"
            tell(f"{case}  {_label(figure)}: {shown}")
    return _in_order(figures)


def time_viterbi(plan: Plan, tell: Callable[[str], None]) -> list[Figure]:
    """CTC's best alignment of 32 sentences of 30 targets on 90 slots, milliseconds."""
    figures: list[Figure] = []
    for vocabulary in dict.fromkeys(shape.vocabulary for shape in plan.shapes):
        problem = make_problem(Shape(*VITERBI, vocabulary), plan.device, plan.dtype)
        for backend in plan.backends:
            found = measure(
                _viterbi(problem, backend),
                repetitions=10 * plan.repetitions,
                budget=plan.seconds,
                device=plan.device,
                clock=plan.clock,
            )
            figure = {
                "title": "CTC Viterbi, ms",
                "backend": backend,
                "case": case_name(problem.shape),
                **asdict(problem.shape),
                "ms": found.median,
                "ms_quartiles": [found.low, found.high],
                "bar": plan.bar(bars.VITERBI_MS, backend),
            }
            figures.append(figure)
            tell(f"{figure['case']}  {_label(figure)}: {found.median:.2f} ms [{found.low:.2f}, {found.high:.2f}]")
    return figures


def _viterbi(problem: Problem, backend: str) -> Callable[[], object]:
    def run() -> object:
        return ctc_best_alignment(
            *(problem.logits.detach(), problem.targets, problem.logit_lengths, problem.target_lengths),
            blank_idx=BLANK,
            backend=backend,
        )

    return run


def _problems(plan: Plan) -> Iterator[tuple[Problem, str, list[tuple[str, Loss, Optional[str]]]]]:
    """Each problem once, with the name of its case and what is measured on it."""
    for shape in plan.shapes:
        on_canvas: dict[Shape, list[tuple[str, Loss, Optional[str]]]] = {}
        for name in plan.losses:
            loss = LOSSES[name]
            canvas = loss.shape(shape)
            if canvas is not None:
                cases = on_canvas.setdefault(canvas, [])
                cases.extend((name, loss, backend) for backend in (plan.backends if loss.ours else [None]))
        for canvas, cases in on_canvas.items():
            yield make_problem(canvas, plan.device, plan.dtype), case_name(shape), cases


def _in_order(figures: list[Figure]) -> list[Figure]:
    """Loss by loss, as in :data:`benchmarks.losses.LOSSES`; measured they are canvas by canvas."""
    return sorted(figures, key=lambda figure: list(LOSSES).index(figure["loss"]))


def _figure(name: str, loss: Loss, backend: Optional[str], case: str, problem: Problem) -> Figure:
    return {"loss": name, "title": loss.title, "backend": backend, "case": case, **asdict(problem.shape)}


def _label(figure: dict[str, Any]) -> str:
    return f"{figure['title']}, {figure['backend']}" if figure["backend"] else figure["title"]
