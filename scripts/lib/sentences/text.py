"""Chosen sentences for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from tabulate import tabulate

from scripts.lib.sentences.passes import Pass, Slot
from scripts.lib.sentences.training import TrainingSlot, TrainingView
from scripts.lib.sentences.views import SentenceView, SystemView

LEGEND = "[token]: this pass was to fill the slot; [old→new]: and it changed it; _: masked in training"

FEW_REFERENCES = 3
"""So many are shown at once."""


def sentence_text(sentence: SentenceView) -> str:
    """A sentence and all systems."""
    lines = [f"sentence {sentence.number}: {sentence.source}"]
    numbered = len(sentence.references) > 1
    lines += [
        f"  reference{f' {number}' if numbered else ''}: {text}"
        for number, text in enumerate(sentence.references[:FEW_REFERENCES], start=1)
    ]
    if len(sentence.references) > FEW_REFERENCES:
        lines.append(f"  … and {len(sentence.references) - FEW_REFERENCES} more references, which the page has")
    for system in sentence.systems:
        lines += ["", *_system_lines(system)]
    return "\n".join(lines)


def _system_lines(system: SystemView) -> Iterator[str]:
    yield f"  {system.name} (sentence BLEU {system.bleu:.1f}): {system.translation or '(nothing)'}"
    for number, slots in enumerate(system.passes, start=1):
        yield f"    pass {number}: {_pass_text(slots, first=number == 1)}"
    if system.training is not None:
        yield f"    training: {system.training.rule}; {_revealed(system.training)}"
        if system.training.pattern:
            yield f"    alignment: {system.training.pattern}"
        yield from (f"      {line}" for line in _training_table(system.training).splitlines())


def _pass_text(slots: Pass, *, first: bool) -> str:
    return " ".join(slot.token if first and slot.masked else _slot_text(slot) for slot in slots)


def _slot_text(slot: Slot) -> str:
    if not slot.masked:
        return slot.token
    return f"[{slot.token}]" if slot.before is None else f"[{slot.before}→{slot.token}]"


def _revealed(view: TrainingView) -> str:
    return f"{view.revealed} of {len(view.slots)} slots revealed"


def _training_table(view: TrainingView) -> str:
    predicted = any(slot.mask_probability is not None for slot in view.slots)
    body = [
        [
            number,
            "_" if slot.shown is None else slot.shown,
            *([f"{slot.mask_probability:.3f}"] if slot.mask_probability is not None else []),
            held_text(slot),
            f"{slot.predicted} {slot.probability:.3f}",
        ]
        for number, slot in enumerate(view.slots, start=1)
    ]
    headers = ["slot", "sees", *(["P(masked)"] if predicted else []), "held against: p hidden → now", "says"]
    return tabulate(body, headers, colalign=("right", *("left",) * (len(headers) - 1)), disable_numparse=True)


def held_text(slot: TrainingSlot) -> str:
    """``skip target haus 0.013 → 0.210; align der …``: what the slot is held against, with its probabilities."""
    return "; ".join(" ".join(filter(None, [held.operator, held.token, held.probabilities(3)])) for held in slot.held)
