"""AXE and causal AXE on autoregressive models, under teacher forcing (Haviv et al. 2021, §4 and §5)."""

# No `from __future__ import annotations` here: fairseq's dataclass parser needs types, not strings.
from dataclasses import dataclass
from typing import Any, Dict, Tuple

from fairseq.criterions import register_criterion
from torch import Tensor

from nat_plugin.alignments import AxeAlignment, axe_loss_and_alignment
from nat_plugin.criterions.axe_terms import (
    AXE_STATISTICS,
    AxeOptions,
    axe_statistics,
    check_skip_target_penalty,
    reduce_axe,
)
from nat_plugin.criterions.common import AlignedBatch, AlignmentCriterionConfig, TargetBatch, WordLoss
from nat_plugin.criterions.teacher_forcing import KnownToDegenerate, TeacherForcingCriterion


@dataclass
class CausalAxeConfig(AxeOptions, AlignmentCriterionConfig):
    """Options of ``causal_axe``."""


@dataclass
class AxeConfig(KnownToDegenerate, CausalAxeConfig):
    """Options of ``axe``."""


@register_criterion("causal_axe", dataclass=CausalAxeConfig)
class CausalAxeCriterion(TeacherForcingCriterion):
    """AXE in which no prediction takes a target that teacher forcing has shown it, be it aligned or skipped.

    Operator shares are logged.
    """

    causal = True
    statistics = AXE_STATISTICS
    non_autoregressive = "nat_axe"

    def __init__(self, cfg: CausalAxeConfig, task: Any) -> None:
        super().__init__(cfg, task)
        check_skip_target_penalty(cfg.skip_target_penalty)

    def sequence_loss(self, logits: Tensor, targets: TargetBatch) -> WordLoss:
        costs, alignment = self._axe(logits, targets)
        return WordLoss(costs, targets.lengths, axe_statistics(alignment, targets.lengths))

    def align(self, model: Any, sample: Dict[str, Any]) -> AlignedBatch:
        targets, inputs, logits = self.predict(model, sample)
        costs, alignment = self._axe(logits, targets)
        return AlignedBatch(logits, targets, targets.lengths, inputs, alignment, costs)

    def _axe(self, logits: Tensor, targets: TargetBatch) -> Tuple[Tensor, AxeAlignment]:
        return axe_loss_and_alignment(
            logits,
            targets.tokens,
            targets.lengths,
            targets.lengths,
            blank_idx=self.blank_idx,
            skip_target_penalty=self.cfg.skip_target_penalty,
            causal=self.causal,
            bar_skip_target=self.causal,
            label_smoothing=self.cfg.label_smoothing,
            overwrite_logits=True,  # nobody needs them after the backward pass
        )

    @classmethod
    def reduce_statistics(cls, total: Dict[str, float]) -> None:
        reduce_axe(total)


@register_criterion("axe", dataclass=AxeConfig)
class AxeCriterion(CausalAxeCriterion):
    """AXE without that restriction: the model learns to say ε and then its input, and translates into nothing."""

    causal = False

    def known_failure(self) -> str:
        if self.cfg.expect_degeneration:
            return ""
        return (
            "--criterion axe on an autoregressive model is known to degenerate, because AXE may hold each prediction "
            "against the target that teacher forcing has just fed in, so that the model learns to say <blank> and to "
            "repeat its input, and translates into nothing (Haviv et al. 2021): use --criterion causal_axe or "
            "label_smoothed_cross_entropy, or --expect-degeneration to see it happen."
        )
