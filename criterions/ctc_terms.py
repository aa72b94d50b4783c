"""What CTC's criterions share: the cost of all paths, and the sentences that have none."""

# No `from __future__ import annotations` here: fairseq's dataclass parser needs types, not strings.
import logging
from typing import Dict, Optional, Set

from fairseq.logging import metrics
from torch import Tensor

from nat_plugin.alignments import ctc_loss
from nat_plugin.criterions.common import AlignmentCriterion, TargetBatch, WordLoss

logger = logging.getLogger(__name__)

_warned: Set[str] = set()


def ctc_costs(criterion: AlignmentCriterion, logits: Tensor, targets: TargetBatch, lengths: Tensor) -> Tensor:
    """-log p(y | x) of each sentence over all its paths, smoothed as the criterion says: [B], nats.

    Args:
        logits: [B, m, V]; the backward pass writes over them, as nobody needs them after it.
        lengths: [B], slots of each sentence.
    """
    return ctc_loss(
        logits,
        targets.tokens,
        lengths,
        targets.lengths,
        blank_idx=criterion.blank_idx,
        label_smoothing=criterion.cfg.label_smoothing,
        reduction="none",
        overwrite_logits=True,
    )


def loss_of_fitting(
    costs: Tensor, fits: Tensor, targets: TargetBatch, statistics: Optional[Dict[str, Tensor]] = None
) -> WordLoss:
    """The loss without the sentences that have no path; those are counted as ``ctc_unfit``.

    Args:
        costs: [B], from :func:`ctc_costs`.
        fits: [B] bool, of :func:`~nat_plugin.alignments.ctc_fits`.
        statistics: further ones.
    """
    counts = {"ctc_unfit": (~fits).sum(), **(statistics or {})}
    return WordLoss(costs.masked_fill(~fits, 0.0), targets.lengths * fits, counts)


def reduce_unfit(total: Dict[str, float], slots: str, flag: str) -> None:
    """Log how many sentences did not fit, summed over the log interval; the first ones of a process bring a warning.

    Args:
        total: the summed logs.
        slots: what a target has to fit in.
        flag: what makes more of them.
    """
    unfit = int(total["ctc_unfit"])
    metrics.log_scalar_sum("ctc_unfit", unfit)
    if unfit and flag not in _warned:
        _warned.add(flag)
        logger.warning(
            "%d of %d sentences have more target tokens, with one <blank> between equal neighbours, than %s, and are "
            "left out of the loss: raise %s; ctc_unfit in the log counts them.",
            unfit,
            int(total["nsentences"]),
            slots,
            flag,
        )
