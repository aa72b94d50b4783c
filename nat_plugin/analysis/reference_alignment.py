"""What a translation says of each of several references, in their order: by a monotonic alignment with each.

A word that a monotonic alignment finds in its place is *matched*. One that both sides have, but that the alignment
cannot bring together because the order differs, is *displaced*: the sign of another translation than the reference's,
or of several mixed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass, fields

import torch

from nat_plugin.alignments import axe_loss_and_alignment
from nat_plugin.analysis.monotonic_alignment import MonotonicAlignment, Operator, of_axe

# Of a translation as distributions: what a slot gives ε, and any word that it does not say, in nats.
_EPSILON, _OTHER_WORD = -4.0, -8.0
_BLANK = 0


@dataclass(frozen=True)
class ReferenceMatch:
    """A translation, or the slots of a canvas, against one reference; counts, of one sentence or of many.

    Attributes:
        targets: words of the reference.
        words: slots that say a word; all of a finished translation do.
        matched: targets that are aligned with a slot which says them.
        substituted: targets that are aligned with slots which say something else.
        skipped_targets: targets without a slot of their own: AXE's *skip target*, *clone prediction* by another name.
        skipped_words: words said in slots that are held against ε.
        displaced: words that are said in slots without a match, and that are targets without one too.
        cost: of the alignment, nats.
    """

    targets: int
    words: int
    matched: int
    substituted: int
    skipped_targets: int
    skipped_words: int
    displaced: int
    cost: float

    @property
    def similarity(self) -> float:
        """2 · matched / (targets + words), 0 to 1, as an F1: it picks the best of several references."""
        return 2 * self.matched / max(self.targets + self.words, 1)

    def __add__(self, other: ReferenceMatch) -> ReferenceMatch:
        names = [field.name for field in fields(self)]
        return ReferenceMatch(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def shares(self) -> dict[str, float]:
        """Of the targets: ``matched``, ``substituted``, ``skipped_targets``; of the words: ``skipped_words``,
        ``displaced``; 0 to 1, with ``similarity``, and ``cost`` a target."""
        counts = asdict(self)
        of_targets = ("matched", "substituted", "skipped_targets", "cost")
        return {
            **{name: counts[name] / max(self.targets, 1) for name in of_targets},
            **{name: counts[name] / max(self.words, 1) for name in ("skipped_words", "displaced")},
            "similarity": self.similarity,
        }


NOTHING = ReferenceMatch(0, 0, 0, 0, 0, 0, 0, 0.0)
"""To begin a sum with."""


def match_reference(
    alignment: MonotonicAlignment,
    said: Sequence[Hashable],
    target: Sequence[Hashable],
    *,
    blank: Hashable,
    cost: float,
    collapse: bool = False,
) -> ReferenceMatch:
    """Count what one alignment brings together.

    Args:
        alignment: of ``target`` and the slots.
        said: what each slot says.
        target: the words of the reference.
        blank: what a slot says that says no word.
        cost: of the alignment, nats.
        collapse: neighbouring slots that say the same say one word, as CTC reads them.
    """
    hit_targets, hit_slots, own_slot = set(), set(), set()
    for step in alignment.steps:
        if step.target is None or step.operator == Operator.CLONE_PREDICTION:
            continue
        own_slot.add(step.target)
        if said[step.slot] == target[step.target]:
            hit_targets.add(step.target)
            hit_slots.add(step.slot)
    missed = [place for place in range(len(target)) if place not in hit_targets]
    delimiters = {step.slot for step in alignment.steps if step.operator == Operator.DELIMITER}
    runs = [(said[slots[0]], slots) for slots in _runs(said, collapse) if said[slots[0]] != blank]
    unmatched = Counter(word for word, slots in runs if not hit_slots.intersection(slots))
    return ReferenceMatch(
        targets=len(target),
        words=len(runs),
        matched=len(hit_targets),
        substituted=sum(place in own_slot for place in missed),
        skipped_targets=sum(place not in own_slot for place in missed),
        skipped_words=sum(delimiters.issuperset(slots) for _, slots in runs),
        displaced=(unmatched & Counter(target[place] for place in missed)).total(),
        cost=cost,
    )


def _runs(said: Sequence[Hashable], collapse: bool) -> list[list[int]]:
    """The slots of each word, or blank, in their order."""
    runs: list[list[int]] = []
    for slot, word in enumerate(said):
        if collapse and slot and said[slot - 1] == word:
            runs[-1].append(slot)
        else:
            runs.append([slot])
    return runs


def match_words(
    said: Sequence[str], references: Sequence[Sequence[str]], skip_target_penalty: float = 1.0
) -> list[ReferenceMatch]:
    """A finished translation against each of several references, aligned by AXE.

    Each word of the translation is a slot, whose distribution is nearly one-hot: ε comes 4 nats, and any other word
    8 nats, after the word that it says. An empty translation skips all targets.

    Args:
        said: its words.
        references: the words of each; it may be empty.
        skip_target_penalty: AXE's δ.
    """
    if not said:
        unsaid = -_OTHER_WORD * skip_target_penalty
        return [ReferenceMatch(len(each), 0, 0, 0, len(each), 0, 0, unsaid * len(each)) for each in references]
    words = [*said, *(word for reference in references for word in reference)]
    numbers = {word: number for number, word in enumerate(dict.fromkeys(words), start=1)}
    logits = torch.full((len(said), len(numbers) + 1), _OTHER_WORD)
    logits[:, _BLANK] = _EPSILON
    logits[torch.arange(len(said)), torch.tensor([numbers[word] for word in said])] = 0.0
    lengths = torch.tensor([len(reference) for reference in references])
    targets = torch.full((len(references), max(1, int(lengths.max()))), _BLANK)
    for row, reference in enumerate(references):
        targets[row, : len(reference)] = torch.tensor([numbers[word] for word in reference], dtype=torch.int64)
    slots = torch.full_like(lengths, len(said))
    costs, alignment = axe_loss_and_alignment(
        logits.expand(len(references), -1, -1).contiguous(),
        targets,
        slots,
        lengths,
        blank_idx=_BLANK,
        skip_target_penalty=skip_target_penalty,
    )
    return [
        match_reference(found, said, reference, blank=None, cost=cost)
        for found, reference, cost in zip(of_axe(alignment, slots, lengths), references, costs.tolist(), strict=True)
    ]
