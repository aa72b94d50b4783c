"""What AXE's criterions share: δ, and the shares of the operators in the log."""

# No `from __future__ import annotations` here: fairseq's dataclass parser needs types, not strings.
import math
from dataclasses import dataclass, field
from typing import Dict

from fairseq.dataclass import FairseqDataclass
from fairseq.logging import metrics
from torch import Tensor

from nat_plugin.alignments import AxeAlignment, AxeOperator
from nat_plugin.errors import UserError

AXE_STATISTICS = ("axe_align", "axe_skip_prediction", "axe_skip_target", "axe_targets", "axe_slots", "axe_trivial")


@dataclass
class AxeOptions(FairseqDataclass):
    """AXE's own."""

    skip_target_penalty: float = field(
        default=1.0, metadata={"help": "δ ≥ 0, the weight of a skipped target; the paper tunes 1..5"}
    )


def check_skip_target_penalty(value: float) -> None:
    """Raises:
    UserError: δ is negative or not finite.
    """
    if not 0 <= value < math.inf:
        raise UserError(f"--skip-target-penalty must be 0 or more and finite, not {value}: the paper uses 1 to 5.")


def axe_statistics(alignment: AxeAlignment, lengths: Tensor) -> Dict[str, Tensor]:
    """Sums over the batch, by :data:`AXE_STATISTICS`.

    Args:
        lengths: [B], targets of each sentence, and its slots: m = n.
    """
    aligned = alignment.occurrences(AxeOperator.ALIGN)
    return {
        "axe_align": aligned.sum(),
        "axe_skip_prediction": alignment.occurrences(AxeOperator.SKIP_PREDICTION).sum(),
        "axe_skip_target": alignment.occurrences(AxeOperator.SKIP_TARGET).sum(),
        "axe_targets": lengths.sum(),
        "axe_slots": lengths.sum(),
        "axe_trivial": aligned.eq(lengths).sum(),  # n targets in n slots one after the other: i = j throughout
    }


def reduce_axe(total: Dict[str, float]) -> None:
    """Shares as the papers give them: aligned and skipped targets of all targets (Ghazvininejad et al. 2020, Table 6),
    skipped predictions of all slots (footnote 7), and trivial alignments of all sentences (Haviv et al. 2021, §5)."""
    for name, whole in (
        ("align", "axe_targets"),
        ("skip_target", "axe_targets"),
        ("skip_prediction", "axe_slots"),
        ("trivial", "nsentences"),
    ):
        if total[whole]:
            metrics.log_scalar(name, total[f"axe_{name}"] / total[whole], total[whole], round=4)
