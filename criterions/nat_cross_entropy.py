"""Cross entropy on a canvas: slot i is held against target i."""

from dataclasses import dataclass
from typing import Any

from fairseq.criterions import register_criterion
from torch import Tensor

from nat_plugin.alignments import label_smoothed_cross_entropy
from nat_plugin.criterions.base import NatCriterion, NatCriterionConfig
from nat_plugin.criterions.common import TargetBatch, WordLoss
from nat_plugin.padding import length_mask


@dataclass
class NatCrossEntropyConfig(NatCriterionConfig):
    """Options of ``nat_cross_entropy``."""


@register_criterion("nat_cross_entropy", dataclass=NatCrossEntropyConfig)
class NatCrossEntropyCriterion(NatCriterion):
    """Label-smoothed cross entropy over the masked slots (or all), plus the length loss."""

    autoregressive = "label_smoothed_cross_entropy"

    def predicted(self, output: Any, targets: TargetBatch) -> Tensor:
        """The slots that the loss is about: [B, m] bool."""
        if self.cfg.predict == "masks":
            masked: Tensor = output.masked
            return masked
        return length_mask(targets.lengths, output.masked.size(1))

    def word_loss(self, output: Any, targets: TargetBatch) -> WordLoss:
        predicted = self.predicted(output, targets)
        costs = label_smoothed_cross_entropy(
            output.logits,
            targets.tokens,
            mask=predicted,
            label_smoothing=self.cfg.label_smoothing,
            reduction="none",
            overwrite_logits=True,  # nobody needs them after the backward pass
        )
        return WordLoss(costs, predicted.sum(1), {})
