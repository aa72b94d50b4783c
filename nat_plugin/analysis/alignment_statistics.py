"""What the alignments of many sentences have in common: whether a model games its loss (Haviv et al. 2021, §5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from nat_plugin.analysis.monotonic_alignment import MonotonicAlignment, Operator


@dataclass(frozen=True)
class ExplainedSentence:
    """One sentence.

    Attributes:
        alignment: of its targets and predictions.
        probabilities: of each of its steps, in their order: what the prediction gives the target, or ε.
        cost: what the criterion's loss is for it, nats; for CTC the sum over all alignments.
    """

    alignment: MonotonicAlignment
    probabilities: tuple[float, ...]
    cost: float

    @property
    def last_clone(self) -> tuple[float, float] | None:
        """What the last prediction gives the first and the last of the targets that it is held against, where there
        are several ("the final prediction is used twice", Figure 3); else None."""
        last = self.alignment.slots - 1
        own = [
            probability
            for step, probability in zip(self.alignment.steps, self.probabilities, strict=True)
            if step.slot == last and step.target is not None
        ]
        clones = [step for step in self.alignment.steps if step.operator == Operator.CLONE_PREDICTION]
        return (own[0], own[-1]) if len(own) > 1 and any(step.slot == last for step in clones) else None


@dataclass(frozen=True)
class AlignmentStatistics:
    """Over all sentences.

    Attributes:
        sentences, targets, slots: how many.
        loss: mean cost of a target, nats.
        trivial: share of sentences with i = j throughout.
        constant: share of sentences with delimiter, align …, clone prediction.
        own_input: share of predictions that are held against a target inside their own input; None where the decoder
            is not fed the target.
        operators: by their names, of all operators used: ``count``, ``share``, and ``probability``, the mean of what
            the predictions give what they are held against (None for an operator that is not used).
        last_prediction: of the sentences whose last prediction is used more than once (``sentences``, and ``share`` of
            all): the means of what it gives its first target, its last one, and of the two together.
        patterns: the most frequent ones with their count and share of the sentences.
    """

    sentences: int
    targets: int
    slots: int
    loss: float
    trivial: float
    constant: float
    own_input: float | None
    operators: dict[str, dict[str, float | None]]
    last_prediction: dict[str, float | None]
    patterns: list[dict[str, object]]


def summarise_alignments(
    sentences: Sequence[ExplainedSentence], *, copies: int | None, patterns: int = 10
) -> AlignmentStatistics:
    """What ``sentences`` have in common.

    Args:
        copies: how often teacher forcing feeds each target token to the decoder; None for a decoder without it.
        patterns: how many of the most frequent ones to keep.

    Raises:
        ValueError: there is no sentence.
    """
    if not sentences:
        raise ValueError("no sentence to summarise")
    alignments = [sentence.alignment for sentence in sentences]
    targets, slots = (sum(getattr(alignment, name) for alignment in alignments) for name in ("targets", "slots"))
    counted = Counter(alignment.pattern for alignment in alignments)
    frequent = sorted(counted.items(), key=lambda found: (-found[1], found[0]))[:patterns]  # whatever their order was
    return AlignmentStatistics(
        sentences=len(sentences),
        targets=targets,
        slots=slots,
        loss=sum(sentence.cost for sentence in sentences) / max(targets, 1),
        trivial=_mean([alignment.is_trivial for alignment in alignments]) or 0.0,
        constant=_mean([alignment.is_constant for alignment in alignments]) or 0.0,
        own_input=(
            sum(alignment.predictions_of_own_input(copies) for alignment in alignments) / max(slots, 1)
            if copies
            else None
        ),
        operators=_operators(sentences),
        last_prediction=_last_prediction(sentences),
        patterns=[{"pattern": pattern, "count": count, "share": count / len(sentences)} for pattern, count in frequent],
    )


def _operators(sentences: Sequence[ExplainedSentence]) -> dict[str, dict[str, float | None]]:
    found: dict[Operator, list[float]] = {operator: [] for operator in Operator}
    for sentence in sentences:
        for step, probability in zip(sentence.alignment.steps, sentence.probabilities, strict=True):
            found[step.operator].append(probability)
    total = sum(map(len, found.values()))
    return {
        operator.value: {
            "count": len(values),
            "share": len(values) / max(total, 1),
            "probability": _mean(values),
        }
        for operator, values in found.items()
    }


def _last_prediction(sentences: Sequence[ExplainedSentence]) -> dict[str, float | None]:
    clones = [clone for sentence in sentences if (clone := sentence.last_clone) is not None]
    first, last = [clone[0] for clone in clones], [clone[1] for clone in clones]
    return {
        "sentences": len(clones),
        "share": len(clones) / len(sentences),
        "first": _mean(first),
        "last": _mean(last),
        "both": _mean([*first, *last]),
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
