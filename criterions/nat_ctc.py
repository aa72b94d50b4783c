"""Connectionist temporal classification on an upsampled canvas (Gu & Kong 2021, §3.3)."""

import logging
from dataclasses import dataclass
from typing import Any, Dict

import torch
from fairseq.criterions import register_criterion
from fairseq.logging import metrics
from torch import Tensor

from nat_plugin.alignments import ctc_best_alignment, ctc_fits, ctc_loss
from nat_plugin.criterions.base import NatCriterion, NatCriterionConfig
from nat_plugin.criterions.common import AlignedBatch, TargetBatch, WordLoss
from nat_plugin.errors import UserError

logger = logging.getLogger(__name__)


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
    _warned = False

    def proxy_targets(self, targets: TargetBatch, logits: Tensor, lengths: Tensor) -> Tensor:
        """The most probable path; blanks where the target does not fit."""
        return ctc_best_alignment(logits, targets.tokens, lengths, targets.lengths, blank_idx=self.blank_idx)

    def proxy_of(self, output: Any, targets: TargetBatch) -> Tensor:
        raise UserError(
            "--criterion nat_ctc sums over all paths and has no single proxy target, and MPLE does not cover that "
            "(Huang et al. 2022, footnote 7): measure models with one slot a token."
        )

    def word_loss(self, output: Any, targets: TargetBatch) -> WordLoss:
        costs = self._costs(output, targets)
        fits = ctc_fits(targets.tokens, output.lengths, targets.lengths)
        return WordLoss(
            torch.where(fits, costs, torch.zeros_like(costs)), targets.lengths * fits, {"ctc_unfit": (~fits).sum()}
        )

    def aligned(self, output: Any, targets: TargetBatch) -> AlignedBatch:
        path = self.proxy_targets(targets, output.logits, output.lengths)
        shown, costs = self.shown(output, targets), self._costs(output, targets)
        return AlignedBatch(output.logits, targets, output.lengths, shown, path, costs)

    def _costs(self, output: Any, targets: TargetBatch) -> Tensor:
        return ctc_loss(
            output.logits,
            targets.tokens,
            output.lengths,
            targets.lengths,
            blank_idx=self.blank_idx,
            label_smoothing=self.cfg.label_smoothing,
            reduction="none",
            overwrite_logits=True,  # nobody needs them after the backward pass
        )

    @classmethod
    def reduce_statistics(cls, total: Dict[str, float]) -> None:
        """How many sentences did not fit, summed over the log interval."""
        unfit = int(total["ctc_unfit"])
        metrics.log_scalar_sum("ctc_unfit", unfit)
        if unfit and not cls._warned:
            cls._warned = True
            logger.warning(
                "%d of %d sentences have more target tokens than slots and are left out of the loss: raise "
                "--upsample-scale; ctc_unfit in the log counts them.",
                unfit,
                int(total["nsentences"]),
            )
