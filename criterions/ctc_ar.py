"""CTC on autoregressive models, under teacher forcing (Haviv et al. 2021, §3 and §5)."""

# No `from __future__ import annotations` here: fairseq's dataclass parser needs types, not strings.
from dataclasses import dataclass, field
from typing import Any, Dict

from fairseq.criterions import register_criterion
from fairseq.logging import metrics
from torch import Tensor

from nat_plugin.alignments import ctc_best_alignment, ctc_fits, ctc_statistics
from nat_plugin.criterions.common import AlignedBatch, AlignmentCriterionConfig, TargetBatch, WordLoss
from nat_plugin.criterions.ctc_terms import ctc_costs, loss_of_fitting, reduce_unfit
from nat_plugin.criterions.teacher_forcing import KnownToDegenerate, TeacherForcingCriterion
from nat_plugin.errors import UserError


@dataclass
class CtcArConfig(KnownToDegenerate, AlignmentCriterionConfig):
    """Options of ``ctc_ar``."""

    predictions_per_target: int = field(
        default=2,
        metadata={"help": "how often each target token is fed, and predicted from; 1 is cross entropy but for repeats"},
    )


@register_criterion("ctc_ar", dataclass=CtcArConfig)
class CtcArCriterion(TeacherForcingCriterion):
    """-log p(y | x), summed over all CTC paths, with k predictions for each target token.

    With k = 1 there are as many predictions as targets and the one path is the trivial alignment: the loss *is* cross
    entropy, except that a target with equal neighbours has no path. With k ≥ 2 each target token is fed k times in a
    row, and a path may let a prediction say the token that it has just been fed.

    A sentence without a path counts neither in the loss nor in what the loss is averaged over, but in ``ctc_unfit``,
    and the first one logged brings a warning. The shares of the operators on the most probable path, of all
    predictions, are logged at validation: finding it takes a program of its own.
    """

    statistics = ("ctc_unfit", "ctc_targets", "ctc_repeats", "ctc_blanks", "ctc_trivial", "ctc_paths")
    non_autoregressive = "nat_ctc"

    def __init__(self, cfg: CtcArConfig, task: Any) -> None:
        super().__init__(cfg, task)
        if cfg.predictions_per_target < 1:
            raise UserError(f"--predictions-per-target must be at least 1, not {cfg.predictions_per_target}.")
        self.copies = cfg.predictions_per_target

    def known_failure(self) -> str:
        if self.copies == 1:
            return (
                "--criterion ctc_ar with one prediction a target is cross entropy, because the trivial alignment is "
                "then the only one, but leaves out every sentence in which a token stands beside its equal (Haviv et "
                "al. 2021, §3): use --criterion label_smoothed_cross_entropy, which leaves out none."
            )
        if self.cfg.expect_degeneration:
            return ""
        return (
            f"--criterion ctc_ar with {self.copies} predictions a target is known to degenerate, because CTC may hold "
            "a prediction against the target that teacher forcing has just fed in, so that the model learns to say "
            "<blank> and to repeat its input, and does not translate (Haviv et al. 2021, §5): use --criterion "
            "label_smoothed_cross_entropy, or --expect-degeneration to see it happen."
        )

    def sequence_loss(self, logits: Tensor, targets: TargetBatch) -> WordLoss:
        lengths = self.copies * targets.lengths
        fits = ctc_fits(targets.tokens, lengths, targets.lengths)
        costs = ctc_costs(self, logits, targets, lengths)
        return loss_of_fitting(costs, fits, targets, self._operators(logits, targets, lengths, fits))

    def align(self, model: Any, sample: Dict[str, Any]) -> AlignedBatch:
        targets, inputs, logits = self.predict(model, sample)
        lengths = self.copies * targets.lengths
        path = self._best_path(logits, targets, lengths)
        return AlignedBatch(logits, targets, lengths, inputs, path, ctc_costs(self, logits, targets, lengths))

    def _best_path(self, logits: Tensor, targets: TargetBatch, lengths: Tensor) -> Tensor:
        return ctc_best_alignment(logits.detach(), targets.tokens, lengths, targets.lengths, blank_idx=self.blank_idx)

    def _operators(self, logits: Tensor, targets: TargetBatch, lengths: Tensor, fits: Tensor) -> Dict[str, Tensor]:
        """Counts over the sentences that fit; zeros in training."""
        names = ("ctc_targets", "ctc_repeats", "ctc_blanks")
        if self.training:
            return dict.fromkeys((*names, "ctc_trivial", "ctc_paths"), logits.new_zeros(()))
        path = self._best_path(logits, targets, lengths)
        counts = ctc_statistics(path, lengths, blank_idx=self.blank_idx)
        return {
            **{name: (count * fits).sum() for name, count in zip(names, counts, strict=True)},
            "ctc_trivial": (fits & counts.targets.eq(lengths)).sum(),
            "ctc_paths": fits.sum(),
        }

    @classmethod
    def reduce_statistics(cls, total: Dict[str, float]) -> None:
        """How many sentences did not fit; of the predictions on the best paths, which share begins a target, says it
        again, and says blank; and which share of the paths is trivial."""
        reduce_unfit(total, "predictions", "--predictions-per-target")
        slots = total["ctc_targets"] + total["ctc_repeats"] + total["ctc_blanks"]
        if slots:
            for name, key in (("align", "targets"), ("clone_target", "repeats"), ("delimiter", "blanks")):
                metrics.log_scalar(name, total[f"ctc_{key}"] / slots, slots, round=4)
            metrics.log_scalar("trivial", total["ctc_trivial"] / total["ctc_paths"], total["ctc_paths"], round=4)
