"""What is aimed at, as times, memory and milliseconds that a figure should stay under, and as speed to be reached.

The ratios are for one CPU thread, against fairseq's label-smoothed cross entropy on logits of the same shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

_AXE = {"torch": 1.1, "cpp": 0.45}
RATIO: dict[str, dict[str, float]] = {
    "axe": _AXE,
    "causal_axe": _AXE,
    "ctc": {"torch": 1.15, "cpp": 0.6},
    "oaxe": {"torch": 1.25, "cpp": 0.6},
}
# extra memory at the peak, in units of the logits; for the losses that have a bar on their ratio
MEMORY = {"torch": 1.1, "cpp": 1.05}
# Viterbi alignment of 32 sentences, 30 targets, 90 slots
VITERBI_MS = {"torch": 8.0, "cpp": 1.0}
# on CUDA, logits of 500 MB and more: against a cross entropy that is fused alike, and against three passes over the
# logits at the card's copy bandwidth
CUDA_FUSED, CUDA_PASSES = 1.15, 2.0
# a whole training step with AXE against one with fairseq's cross entropy
TRAINING_STEP = 1.02
# a training step of GLAT that chooses among five candidate targets against a plain one
DYNAMIC_KD = 1.6
# at least so many times as fast on a CPU: one sentence alone (l1) as fairseq's beam 5, in large batches (lmax) as 12
# encoder layers and one decoder layer at beam 1
LATENCY: dict[str, dict[str, float]] = {
    "one pass, m = n": {"l1": 9.0, "lmax": 1.0},
    "CTC, s = 3": {"l1": 6.0},
}
# at least so many times as fast as the model in torch: its int8 form in ONNX Runtime, one thread
EXPORT = 1.8


def verdict(values: Sequence[float], bar: Optional[float]) -> str:
    """``meets`` where no value is above the bar, else how many are; a dash without a bar."""
    if bar is None or not values:
        return "–"
    above = sum(value > bar for value in values)
    if not above:
        return "meets"
    return "misses" if len(values) == 1 else f"misses at {above} of {len(values)}"
