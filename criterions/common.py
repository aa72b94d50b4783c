"""What criterions of every kind of model share: the word loss of a sentence, its normalisation, and their logs."""

# No `from __future__ import annotations` here: fairseq's dataclass parser needs types, not strings.
import math
from dataclasses import dataclass, field
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from fairseq.criterions import FairseqCriterion
from fairseq.dataclass import FairseqDataclass
from fairseq.logging import metrics
from torch import Tensor

from nat_plugin.alignments import AxeAlignment, raise_pending
from nat_plugin.errors import UserError


@dataclass
class AlignmentCriterionConfig(FairseqDataclass):
    """Options of every criterion of ours."""

    label_smoothing: float = field(default=0.0, metadata={"help": "ε; the papers use .1, and .01 for CTC"})


class TargetBatch(NamedTuple):
    """Targets [B, n], padded, and their lengths [B]; with end of sentence for autoregressive models alone."""

    tokens: Tensor
    lengths: Tensor


class WordLoss(NamedTuple):
    """The word loss of each sentence.

    Attributes:
        costs: [B], nats, with gradient.
        units: [B], how many target tokens each sentence's cost is about: what the loss is averaged over.
        statistics: named sums over the batch, for the log.
        added: [B], what else the criterion wants of each sentence, weighted already; with gradient. None: nothing.
    """

    costs: Tensor
    units: Tensor
    statistics: Dict[str, Tensor]
    added: Optional[Tensor] = None


class AlignedBatch(NamedTuple):
    """A batch as a criterion sees it, for analysis.

    Attributes:
        logits: [B, m, V].
        targets: what the slots are aligned with.
        lengths: [B], slots of each sentence.
        inputs: [B, m] int64, the token that the decoder is given in each slot.
        alignment: AXE's, or the most probable CTC path [B, m].
        costs: [B], nats: of that alignment, or of all CTC paths (infinite where there is none).
    """

    logits: Tensor
    targets: TargetBatch
    lengths: Tensor
    inputs: Tensor
    alignment: Union[AxeAlignment, Tensor]
    costs: Tensor


class AlignmentCriterion(FairseqCriterion):
    """Base class of our criterions.

    The trainer divides the sum of all gradients by the sum of all sample sizes, over micro-batches and workers, once.
    So ``forward`` returns sums over sentences, and as sample size the sum of their units.
    """

    statistics: Tuple[str, ...] = ()
    """Keys of :attr:`WordLoss.statistics`, the same for every batch."""

    def __init__(self, cfg: AlignmentCriterionConfig, task: Any, blank_idx: int) -> None:
        super().__init__(task)
        if not 0 <= cfg.label_smoothing < 1:
            raise UserError(f"--label-smoothing must be in [0, 1), not {cfg.label_smoothing}.")
        self.cfg = cfg
        self.blank_idx = blank_idx

    @classmethod
    def build_criterion(cls, cfg: Any, task: Any) -> "AlignmentCriterion":
        return cls(cfg, task)  # type: ignore[call-arg]

    def align(self, model: Any, sample: Dict[str, Any]) -> AlignedBatch:
        """The alignment that the loss of ``sample`` pays for; for CTC, which sums over all, the most probable one.

        Raises:
            UserError: this criterion's alignment is not monotonic.
        """
        raise NotImplementedError

    @classmethod
    def reduce_metrics(cls, logging_outputs: List[Dict[str, Any]]) -> None:
        """Aggregate the logs of all micro-batches and workers. Losses are in bits, as everywhere in fairseq.

        Raises:
            FloatingPointError: the logits of one of the batches hold NaN or infinity.
        """
        total = sum_logs(logging_outputs)
        raise_pending()  # the sums have waited for the device already
        log_cost(total, "loss")
        cls.reduce_terms(total)
        cls.reduce_statistics(total)

    @classmethod
    def reduce_terms(cls, total: Dict[str, float]) -> None:
        """Log what belongs to the kind of model, from the summed logs."""

    @classmethod
    def reduce_statistics(cls, total: Dict[str, float]) -> None:
        """Log what is the criterion's own, from the summed logs."""

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        return True


def log_cost(total: Dict[str, float], key: str) -> None:
    """Log a summed cost per unit, in bits; for a batch without units infinity, of no weight in the mean with others.

    Were nothing logged, fairseq would put a loss of -1 there.
    """
    units = total["sample_size"]
    metrics.log_scalar(key, total[key] / units / math.log(2) if units else math.inf, units, round=3)


def sum_logs(logging_outputs: List[Dict[str, Any]]) -> Dict[str, float]:
    """Σ of each key over the logs."""
    keys = logging_outputs[0].keys() if logging_outputs else ()
    return {key: float(sum(log.get(key, 0) for log in logging_outputs)) for key in keys}
