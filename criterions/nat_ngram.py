"""Cross entropy and the n-gram loss on a canvas: the objective of JM-NAT (Guo et al. 2020, §4.2 and §4.3)."""

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Dict

from fairseq.criterions import register_criterion
from fairseq.logging import metrics

from nat_plugin.alignments import cross_entropy_and_ngram_costs, ngram_windows
from nat_plugin.criterions.base import NatCriterionConfig, TargetBatch, WordLoss
from nat_plugin.criterions.nat_cross_entropy import NatCrossEntropyCriterion
from nat_plugin.errors import UserError


class NgramMatch(str, Enum):
    """What the model says of an n-gram."""

    bag = "bag"
    place = "place"


@dataclass
class NatNgramConfig(NatCriterionConfig):
    """Options of ``nat_ngram``."""

    ngram_size: int = field(
        default=2, metadata={"help": "N of the n-gram loss, 2 or more; the paper has that of --decoder-mask-span, 2"}
    )
    ngram_loss_factor: float = field(default=0.01, metadata={"help": "α2, the weight of the n-gram loss; 0: without"})
    ngram_match: NgramMatch = field(
        default=NgramMatch.bag,
        metadata={
            "help": "how the model is held to say an n-gram: in whatever window (bag: its expected count), or where it "
            "stands in the reference (place)"
        },
    )


@register_criterion("nat_ngram", dataclass=NatNgramConfig)
class NatNgramCriterion(NatCrossEntropyCriterion):
    """L_nll + α1·L_enc + α2·L_gram (Eq. 8) plus the length loss.

    L_nll is that of ``nat_cross_entropy``; α1·L_enc is there where the model masks its source
    (``--encoder-mask-prob``). L_gram is about windows of N slots side by side that are predicted.
    """

    statistics = ("ngram_loss", "ngram_windows")

    def __init__(self, cfg: NatNgramConfig, task: Any) -> None:
        super().__init__(cfg, task)
        if cfg.ngram_size < 2:
            raise UserError(
                f"--ngram-size must be 2 or more, not {cfg.ngram_size}: for single tokens use --criterion "
                "nat_cross_entropy."
            )
        if not 0 <= cfg.ngram_loss_factor < math.inf:
            raise UserError(f"--ngram-loss-factor must be 0 or more and finite, not {cfg.ngram_loss_factor}.")

    def check_model(self, model: Any) -> None:
        super().check_model(model)
        if self.cfg.predict == "masks" and model.canvas_maker.revealing.hides_one:
            raise UserError(
                f"--criterion {self.cfg._name} needs {self.cfg.ngram_size} masked tokens side by side, but --masking "
                "fixed_ratio --glancing-ratio 1 masks one token of each sentence: use --masking uniform."
            )

    def word_loss(self, output: Any, targets: TargetBatch) -> WordLoss:
        predicted = self.predicted(output, targets)
        costs = cross_entropy_and_ngram_costs(
            output.logits,
            targets.tokens,
            n=self.cfg.ngram_size,
            mask=predicted,
            match=NgramMatch(self.cfg.ngram_match).value,
            label_smoothing=self.cfg.label_smoothing,
            overwrite_logits=True,  # nobody needs them after the backward pass
        )
        statistics = {
            "ngram_loss": costs.ngram.sum(),
            "ngram_windows": ngram_windows(predicted, self.cfg.ngram_size).sum(),
        }
        return WordLoss(
            costs.cross_entropy, predicted.sum(1), statistics, added=self.cfg.ngram_loss_factor * costs.ngram
        )

    @classmethod
    def reduce_statistics(cls, total: Dict[str, float]) -> None:
        """``ngram_loss``: L_gram over K, the number of windows; from 0, all n-grams predicted for sure, to 1."""
        windows = total["ngram_windows"]
        if windows:
            metrics.log_scalar("ngram_loss", total["ngram_loss"] / windows, windows, round=4)
