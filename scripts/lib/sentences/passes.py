"""What a decoder wrote into each slot, pass by pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nat_plugin.decoding.finalising import finalise
from nat_plugin.decoding.output_symbols import OutputSymbols
from scripts.lib.latency.translator import Sample, Translator


@dataclass(frozen=True)
class Slot:
    """One slot after one pass.

    Attributes:
        token: what stands in it.
        probability: of the token, by the pass that wrote it; None for one that was there before the first pass.
        masked: whether this pass was to fill it.
        before: the token that it took the place of; None where it took no other's.
    """

    token: str
    probability: float | None
    masked: bool
    before: str | None


Pass = tuple[Slot, ...]


class _Recorded(NamedTuple):
    """A call of the model's ``fill_slots``, on the CPU: the slots that it saw, and what it would say in each."""

    seen: Tensor
    lengths: Tensor
    tokens: Tensor
    scores: Tensor


class _Recorder:
    """Stands before a model, and remembers each pass that fills slots."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.calls: list[_Recorded] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def fill_slots(
        self, slots: Tensor, lengths: Tensor, encoder_out: dict[str, Any], symbols: OutputSymbols
    ) -> tuple[Tensor, Tensor]:
        tokens, scores = self._model.fill_slots(slots, lengths, encoder_out, symbols)
        self.calls.append(_Recorded(slots.cpu(), lengths.cpu(), tokens.cpu(), scores.cpu()))
        return tokens, scores


def trace(translator: Translator, sample: Sample, device: str) -> tuple[str, list[Pass]]:
    """Translate one sentence.

    Args:
        sample: of one sentence.
        device: where the translator is, ``cpu`` or ``cuda``.

    Returns:
        The translation's tokens as the model writes them, and the passes over its slots: none for an autoregressive
        model, or where a beam search reads the slots.
    """
    from fairseq import utils

    recorder = _Recorder(translator.models[0])
    own = hasattr(translator.models[0], "decode_canvas")
    on_device = utils.move_to_cuda(sample) if device == "cuda" else sample
    models = [recorder] if own else translator.models
    [nbest] = translator.task.inference_step(translator.generator, models, on_device)
    tokens = nbest[0]["tokens"].cpu() if nbest else torch.zeros(0, dtype=torch.int64)
    passes = _passes(translator, recorder.calls, tokens) if recorder.calls else []
    return translator.words(tokens.tolist()), passes


def _passes(translator: Translator, calls: Sequence[_Recorded], tokens: Tensor) -> list[Pass]:
    """The passes of that candidate which became the translation ``tokens``."""
    symbols = OutputSymbols(translator.task.target_dictionary)
    written = calls[0].seen
    scores = torch.full(written.shape, float("nan"))
    states = []
    for call in calls:
        masked = call.seen.eq(symbols.mask)
        written = torch.where(masked, call.tokens, call.seen)
        scores = torch.where(masked, call.scores.float(), scores)
        states.append((masked, written, scores))
    row = _row_of(translator, written, calls[0].lengths, tokens, symbols)
    if row is None:
        return []
    length = int(calls[0].lengths[row])
    found: list[Pass] = []
    for masked, written, scores in states:
        texts = [symbols.texts[token] for token in written[row, :length].tolist()]
        before = [slot.token for slot in found[-1]] if found else texts
        values = zip(texts, scores[row, :length].exp().tolist(), masked[row, :length].tolist(), before, strict=True)
        found.append(
            tuple(
                Slot(text, None if math.isnan(value) else value, is_masked, old if old != text else None)
                for text, value, is_masked, old in values
            )
        )
    return found


def _row_of(
    translator: Translator, written: Tensor, lengths: Tensor, tokens: Tensor, symbols: OutputSymbols
) -> int | None:
    """Which candidate's slots say the translation; the first of several that do."""
    final = finalise(
        written,
        torch.zeros(written.shape),
        lengths,
        dropped=symbols.dropped,
        pad_idx=symbols.pad,
        collapse=translator.models[0].upsamples,
        deduplicate=translator.generator.options.deduplicate,
    )
    for row, length in enumerate(final.lengths.tolist()):
        if final.tokens[row, :length].tolist() == tokens.tolist():
            return row
    return None
