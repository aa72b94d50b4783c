"""Order-agnostic cross entropy on a canvas (Du et al. 2021; Huang et al. 2022, §E.4)."""

from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

import torch
from fairseq.criterions import register_criterion
from fairseq.logging import metrics
from torch import Tensor

from nat_plugin.alignments import OaxeAlignment, oaxe_alignment, oaxe_loss_and_alignment
from nat_plugin.criterions.base import NatCriterion, NatCriterionConfig
from nat_plugin.criterions.common import TargetBatch, WordLoss
from nat_plugin.errors import UserError
from nat_plugin.padding import length_mask


@dataclass
class NatOaxeConfig(NatCriterionConfig):
    """Options of ``nat_oaxe``."""

    truncation_margin: float = field(
        default=0.0,
        metadata={"help": "tokens whose slot gives them less than this probability are left out of the loss; 0: none"},
    )


@register_criterion("nat_oaxe", dataclass=NatOaxeConfig)
class NatOaxeCriterion(NatCriterion):
    """Cross entropy with the targets in their cheapest order, plus the length loss.

    Slots that show a token keep it. Meant for fine-tuning: start from a model trained with cross entropy.
    """

    statistics = ("oaxe_moved", "oaxe_kept", "oaxe_targets")

    def __init__(self, cfg: NatOaxeConfig, task: Any) -> None:
        super().__init__(cfg, task)
        if not 0 <= cfg.truncation_margin <= 1:
            raise UserError(f"--truncation-margin is a probability, 0 to 1, not {cfg.truncation_margin}.")

    def proxy_targets(self, targets: TargetBatch, logits: Tensor, lengths: Tensor) -> Tensor:
        """The target in each slot, in the best order."""
        return oaxe_alignment(logits, targets.tokens, targets.lengths).tokens

    def proxy_of(self, output: Any, targets: TargetBatch) -> Tensor:
        return self._oaxe(output, targets)[1].tokens

    def word_loss(self, output: Any, targets: TargetBatch) -> WordLoss:
        masked, lengths = output.masked, targets.lengths
        observed = self._observed(output, targets)
        costs, alignment = self._oaxe(output, targets)
        units = lengths if observed is None else masked.sum(1)
        paid_slots = torch.zeros_like(alignment.kept).scatter_(1, alignment.positions, alignment.kept)
        statistics = {
            "oaxe_moved": (paid_slots & alignment.tokens.ne(targets.tokens)).sum(),
            "oaxe_kept": alignment.kept.sum(),
            "oaxe_targets": units.sum(),
        }
        return WordLoss(costs, units, statistics)

    def _observed(self, output: Any, targets: TargetBatch) -> Optional[Tensor]:
        """[B, m] bool, the slots that show a token and are not predicted; None where all are."""
        return (
            length_mask(targets.lengths, output.masked.size(1)) & ~output.masked
            if self.cfg.predict == "masks"
            else None
        )

    def _oaxe(self, output: Any, targets: TargetBatch) -> Tuple[Tensor, OaxeAlignment]:
        return oaxe_loss_and_alignment(
            output.logits,
            targets.tokens if output.proxy is None else output.proxy,  # an order in which slots show their own target
            targets.lengths,
            label_smoothing=self.cfg.label_smoothing,
            min_probability=self.cfg.truncation_margin or None,
            observed=self._observed(output, targets),
            overwrite_logits=True,  # nobody needs them after the backward pass
        )

    @classmethod
    def reduce_statistics(cls, total: Dict[str, float]) -> None:
        """Of the predicted targets: which share is paid for, and which share of those took another one's slot."""
        if total["oaxe_targets"]:
            kept = total["oaxe_kept"] / total["oaxe_targets"]
            metrics.log_scalar("kept", kept, total["oaxe_targets"], round=4)
        if total["oaxe_kept"]:
            metrics.log_scalar("moved", total["oaxe_moved"] / total["oaxe_kept"], total["oaxe_kept"], round=4)
