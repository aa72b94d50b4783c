"""Aligned cross entropy on a canvas (Ghazvininejad et al. 2020)."""

import math
from dataclasses import dataclass, field
from typing import Any, Dict

from fairseq.criterions import register_criterion
from fairseq.logging import metrics
from torch import Tensor

from nat_plugin.alignments import AxeOperator, axe_alignment, axe_loss_and_alignment
from nat_plugin.canvas.masking import length_mask
from nat_plugin.criterions.base import NatCriterion, NatCriterionConfig, TargetBatch, WordLoss
from nat_plugin.errors import UserError


@dataclass
class NatAxeConfig(NatCriterionConfig):
    """Options of ``nat_axe``."""

    skip_target_penalty: float = field(
        default=1.0, metadata={"help": "δ ≥ 0, the weight of a skipped target; the paper tunes 1..5"}
    )


@register_criterion("nat_axe", dataclass=NatAxeConfig)
class NatAxeCriterion(NatCriterion):
    """AXE plus the length loss; the shares of its three operators are logged.

    The paper's three objectives (§3.3, Table 5) are ``--masking full``; ``--masking uniform --predict all``; and
    ``--masking uniform --predict masks``, the default, where an observed slot costs nothing for the token it shows.
    """

    statistics = ("axe_align", "axe_skip_prediction", "axe_skip_target", "axe_targets", "axe_slots")

    def __init__(self, cfg: NatAxeConfig, task: Any) -> None:
        super().__init__(cfg, task)
        if not 0 <= cfg.skip_target_penalty < math.inf:
            raise UserError(
                f"--skip-target-penalty must be 0 or more and finite, not {cfg.skip_target_penalty}: the paper "
                "uses 1 to 5."
            )

    def proxy_targets(self, targets: TargetBatch, logits: Tensor, lengths: Tensor) -> Tensor:
        """The first target that the best alignment puts into each slot, or blank."""
        return axe_alignment(
            logits,
            targets.tokens,
            lengths,
            targets.lengths,
            blank_idx=self.blank_idx,
            skip_target_penalty=self.cfg.skip_target_penalty,
        ).tokens

    def word_loss(self, output: Any, targets: TargetBatch) -> WordLoss:
        masked, lengths = output.masked, targets.lengths
        real = length_mask(lengths, masked.size(1))
        only_masks = self.cfg.predict == "masks"
        costs, alignment = axe_loss_and_alignment(
            output.logits,
            targets.tokens,
            lengths,
            lengths,
            blank_idx=self.blank_idx,
            skip_target_penalty=self.cfg.skip_target_penalty,
            observed=(real & ~masked) if only_masks else None,
            observed_tokens=output.proxy if only_masks else None,
            label_smoothing=self.cfg.label_smoothing,
            overwrite_logits=True,  # nobody needs them after the backward pass
        )
        statistics = {
            "axe_align": alignment.occurrences(AxeOperator.ALIGN).sum(),
            "axe_skip_prediction": alignment.occurrences(AxeOperator.SKIP_PREDICTION).sum(),
            "axe_skip_target": alignment.occurrences(AxeOperator.SKIP_TARGET).sum(),
            "axe_targets": lengths.sum(),
            "axe_slots": lengths.sum(),
        }
        return WordLoss(costs, masked.sum(1) if only_masks else lengths, statistics)

    @classmethod
    def reduce_statistics(cls, total: Dict[str, float]) -> None:
        """Shares as the paper gives them: aligned and skipped targets of all targets (Table 6), skipped predictions of
        all slots (footnote 7)."""
        for name, whole in (("align", "targets"), ("skip_target", "targets"), ("skip_prediction", "slots")):
            denominator = total[f"axe_{whole}"]
            if denominator:
                metrics.log_scalar(name, total[f"axe_{name}"] / denominator, denominator, round=4)
