"""Losses that align a target with a canvas of slots: pure functions over tensors, without fairseq.

Every loss takes ``logits`` (log-probabilities are logits too), computes in float32 (float64 for float64 input) whatever
the model's dtype, and writes its gradient in one dense pass.
"""

from nat_plugin.alignments.axe import AxeAlignment, AxeOperator, axe_alignment, axe_loss, axe_loss_and_alignment
from nat_plugin.alignments.cross_entropy import label_smoothed_cross_entropy

__all__ = [
    "AxeAlignment",
    "AxeOperator",
    "axe_alignment",
    "axe_loss",
    "axe_loss_and_alignment",
    "label_smoothed_cross_entropy",
]
