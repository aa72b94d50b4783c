"""Connectionist temporal classification on an upsampled canvas (Gu & Kong 2021, §3.3)."""

from dataclasses import dataclass
from typing import Any, Dict

from fairseq.criterions import register_criterion
from torch import Tensor

from nat_plugin.alignments import ctc_best_alignment, ctc_fits
from nat_plugin.criterions.base import NatCriterion, NatCriterionConfig
from nat_plugin.criterions.common import AlignedBatch, TargetBatch, WordLoss
from nat_plugin.criterions.ctc_terms import ctc_costs, loss_of_fitting, reduce_unfit
from nat_plugin.errors import UserError


@dataclass
class NatCtcConfig(NatCriterionConfig):
    """Options of ``nat_ctc``; every slot is predicted, whatever ``--predict`` says."""


@register_criterion("nat_ctc", dataclass=NatCtcConfig)
class NatCtcCriterion(NatCriterion):
    """-log p(y | x), summed over all paths. Averaged over target tokens, as the other criterions are.

    A sentence whose target cannot fit its canvas, n + (adjacent repeats) > m, has no path: it counts neither in the
    loss nor in what the loss is averaged over, but in ``ctc_unfit``, and the first one logged brings a warning.
    """

    upsampled = True
    monotonic = True
    autoregressive = "ctc_ar"
    statistics = ("ctc_unfit",)

    def proxy_targets(self, targets: TargetBatch, logits: Tensor, lengths: Tensor) -> Tensor:
        """The most probable path; blanks where the target does not fit."""
        return ctc_best_alignment(logits, targets.tokens, lengths, targets.lengths, blank_idx=self.blank_idx)

    def proxy_of(self, output: Any, targets: TargetBatch) -> Tensor:
        raise UserError(
            "--criterion nat_ctc sums over all paths and has no single proxy target, and MPLE does not cover that "
            "(Huang et al. 2022, footnote 7): measure models with one slot a token."
        )

    def word_loss(self, output: Any, targets: TargetBatch) -> WordLoss:
        fits = ctc_fits(targets.tokens, output.lengths, targets.lengths)
        return loss_of_fitting(ctc_costs(self, output.logits, targets, output.lengths), fits, targets)

    def aligned(self, output: Any, targets: TargetBatch) -> AlignedBatch:
        path = self.proxy_targets(targets, output.logits, output.lengths)
        shown, costs = self.shown(output, targets), ctc_costs(self, output.logits, targets, output.lengths)
        return AlignedBatch(output.logits, targets, output.lengths, shown, path, costs)

    @classmethod
    def reduce_statistics(cls, total: Dict[str, float]) -> None:
        reduce_unfit(total, "slots", "--upsample-scale")
