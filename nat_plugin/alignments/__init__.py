"""Losses that align a target with a canvas of slots: pure functions over tensors, without fairseq.

Every loss takes ``logits`` (log-probabilities are logits too), computes in float32 (float64 for float64 input) whatever
the model's dtype, reads the logits once and writes their gradient once. docs/alignments.md explains each algorithm.
"""

from nat_plugin.alignments.axe import axe_alignment, axe_loss, axe_loss_and_alignment, causal_axe_loss
from nat_plugin.alignments.axe_alignment import AxeAlignment, AxeOperator
from nat_plugin.alignments.cross_entropy import label_smoothed_cross_entropy
from nat_plugin.alignments.ctc import CtcStatistics, ctc_best_alignment, ctc_fits, ctc_loss, ctc_statistics
from nat_plugin.alignments.nan_report import raise_pending
from nat_plugin.alignments.ngram import (
    CrossEntropyAndNgramCosts,
    cross_entropy_and_ngram_costs,
    ngram_costs,
    ngram_loss,
    ngram_windows,
)
from nat_plugin.alignments.oaxe import OaxeAlignment, oaxe_alignment, oaxe_loss, oaxe_loss_and_alignment
from nat_plugin.alignments.slot_log_probs import SlotLogProbs, slot_log_probs

__all__ = [
    "AxeAlignment",
    "AxeOperator",
    "CrossEntropyAndNgramCosts",
    "CtcStatistics",
    "OaxeAlignment",
    "SlotLogProbs",
    "axe_alignment",
    "axe_loss",
    "axe_loss_and_alignment",
    "causal_axe_loss",
    "cross_entropy_and_ngram_costs",
    "ctc_best_alignment",
    "ctc_fits",
    "ctc_loss",
    "ctc_statistics",
    "label_smoothed_cross_entropy",
    "ngram_costs",
    "ngram_loss",
    "ngram_windows",
    "oaxe_alignment",
    "oaxe_loss",
    "oaxe_loss_and_alignment",
    "raise_pending",
    "slot_log_probs",
]
