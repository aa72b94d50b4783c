"""The page of figures that benchmarks/alignments.py prints, from what it saves."""

from __future__ import annotations

from typing import Any

from benchmarks.losses import LOSSES
from benchmarks.on_cuda import tables
from benchmarks.pivot import Figure, pivot
from scripts.lib.measuring.machine import describe_in_words

Results = dict[str, Any]

_MALLOC = {
    "default": "glibc as it is: a freed gradient goes back to the kernel, and every step faults its pages in again",
    "keep": "freed memory is kept by the process (`{environment}`)",
    "return": "every freed block goes back to the kernel (`{environment}`)",
    "current": "malloc as it was found ({environment})",
}


def render(results: Results) -> str:
    """All tables with the sentences that they need, as Markdown; nothing in it that is not in ``results``."""
    parts = [
        f"{describe_in_words(results)}; logits {results['dtype']}, label smoothing "
        f"{results['label_smoothing']:g}. `{results['command']}`"
    ]
    for times in results["times"]:
        if times["ratios"]:
            parts.append(
                f"**Time, forward and backward, in units of fairseq's label-smoothed cross entropy on the same "
                f"logits**; columns are V (B, n, m), m = 3n for CTC; {_malloc(times)}:\n\n"
                f"{pivot(times['ratios'], 'ratio', 'bar')}"
            )
            parts.append(_in_ms(times["ratios"]))
        if times["viterbi"]:
            parts.append(
                f"**CTC's best alignment**, milliseconds; {_malloc(times)}:\n\n"
                f"{pivot(times['viterbi'], 'ms', 'bar', worst=False)}"
            )
    if results["memory"]:
        parts.append(
            "**Memory at the peak of forward and backward beyond the logits, in units of the logits** (the gradient "
            f"itself is 1):\n\n{pivot(results['memory'], 'extra', 'bar', decimals=3)}"
        )
    if results["cuda"]:
        parts.append(f"**On CUDA**:\n\n{tables(results['cuda']['fused'], results['cuda']['programs'])}")
    elif results["device"] == "cpu":
        parts.append("The CUDA part was skipped: these figures are of a CPU (`--device cuda` measures a GPU).")
    return "\n\n".join(parts)


def _malloc(times: dict[str, Any]) -> str:
    setting = " ".join(f"{name}={value}" for name, value in times["environment"].items())
    return _MALLOC[times["malloc"]].format(environment=setting or "no variable set")


def _in_ms(ratios: list[Figure]) -> str:
    """The baseline's own time in each case, on the two canvases: what the ratios are ratios of."""
    lines = []
    for canvas, wide in (("m = 3n", True), ("the others", False)):
        times = {
            figure["case"]: figure["baseline_ms"] for figure in ratios if LOSSES[figure["loss"]].on_ctc_canvas == wide
        }
        if times:
            shown = ", ".join(f"{case} {ms:.0f} ms" for case, ms in times.items())
            lines.append(f"1.00 for {canvas} is: {shown}.")
    return " ".join(reversed(lines))
