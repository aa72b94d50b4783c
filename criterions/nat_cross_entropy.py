"""Cross entropy on a canvas: slot i is held against target i."""

from dataclasses import dataclass
from typing import Any

from fairseq.criterions import register_criterion

from nat_plugin.alignments import label_smoothed_cross_entropy
from nat_plugin.canvas.masking import length_mask
from nat_plugin.criterions.base import NatCriterion, NatCriterionConfig, TargetBatch, WordLoss


@dataclass
class NatCrossEntropyConfig(NatCriterionConfig):
    """Options of ``nat_cross_entropy``."""


@register_criterion("nat_cross_entropy", dataclass=NatCrossEntropyConfig)
class NatCrossEntropyCriterion(NatCriterion):
    """Label-smoothed cross entropy over the masked slots (or all), plus the length loss."""

    def word_loss(self, output: Any, targets: TargetBatch) -> WordLoss:
        predicted = (
            output.masked if self.cfg.predict == "masks" else length_mask(targets.lengths, output.masked.size(1))
        )
        costs = label_smoothed_cross_entropy(
            output.logits,
            targets.tokens,
            mask=predicted,
            label_smoothing=self.cfg.label_smoothing,
            reduction="none",
            overwrite_logits=True,  # nobody needs them after the backward pass
        )
        return WordLoss(costs, predicted.sum(1), {})
