"""Aligned cross entropy on a canvas (Ghazvininejad et al. 2020)."""

# No `from __future__ import annotations` here: fairseq's dataclass parser needs types, not strings.
from dataclasses import dataclass
from typing import Any, Dict, Tuple

from fairseq.criterions import register_criterion
from torch import Tensor

from nat_plugin.alignments import AxeAlignment, axe_alignment, axe_loss_and_alignment
from nat_plugin.criterions.axe_terms import (
    AXE_STATISTICS,
    AxeOptions,
    axe_statistics,
    check_skip_target_penalty,
    reduce_axe,
)
from nat_plugin.criterions.base import NatCriterion, NatCriterionConfig
from nat_plugin.criterions.common import AlignedBatch, TargetBatch, WordLoss
from nat_plugin.padding import length_mask


@dataclass
class NatAxeConfig(AxeOptions, NatCriterionConfig):
    """Options of ``nat_axe``."""


@register_criterion("nat_axe", dataclass=NatAxeConfig)
class NatAxeCriterion(NatCriterion):
    """AXE plus the length loss; the shares of its three operators are logged.

    The paper's three objectives (§3.3, Table 5) are ``--masking full``; ``--masking uniform --predict all``; and
    ``--masking uniform --predict masks``, the default, where an observed slot costs nothing for the token it shows.
    """

    statistics = AXE_STATISTICS
    monotonic = True
    autoregressive = "axe or causal_axe"

    def __init__(self, cfg: NatAxeConfig, task: Any) -> None:
        super().__init__(cfg, task)
        check_skip_target_penalty(cfg.skip_target_penalty)

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

    def proxy_of(self, output: Any, targets: TargetBatch) -> Tensor:
        return self._axe(output, targets)[1].tokens

    def word_loss(self, output: Any, targets: TargetBatch) -> WordLoss:
        costs, alignment = self._axe(output, targets)
        units = output.masked.sum(1) if self.cfg.predict == "masks" else targets.lengths
        return WordLoss(costs, units, axe_statistics(alignment, targets.lengths))

    def aligned(self, output: Any, targets: TargetBatch) -> AlignedBatch:
        costs, alignment = self._axe(output, targets)
        return AlignedBatch(output.logits, targets, targets.lengths, self.shown(output, targets), alignment, costs)

    def _axe(self, output: Any, targets: TargetBatch) -> Tuple[Tensor, AxeAlignment]:
        lengths = targets.lengths
        real = length_mask(lengths, output.masked.size(1))
        only_masks = self.cfg.predict == "masks"
        return axe_loss_and_alignment(
            output.logits,
            targets.tokens,
            lengths,
            lengths,
            blank_idx=self.blank_idx,
            skip_target_penalty=self.cfg.skip_target_penalty,
            observed=(real & ~output.masked) if only_masks else None,
            observed_tokens=output.proxy if only_masks else None,
            label_smoothing=self.cfg.label_smoothing,
            overwrite_logits=True,  # nobody needs them after the backward pass
        )

    @classmethod
    def reduce_statistics(cls, total: Dict[str, float]) -> None:
        reduce_axe(total)
