"""One sentence as a training at this checkpoint would see it: the canvas, and what each slot is held against."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nat_plugin.alignments import AxeAlignment, slot_log_probs
from nat_plugin.analysis.monotonic_alignment import MonotonicAlignment, Operator, of_axe, of_ctc
from nat_plugin.canvas.lengths import build_canvas
from nat_plugin.decoding.input_sampling import has_input_predictor
from nat_plugin.decoding.latent import has_latent
from scripts.lib.averaging import load_checkpoint, updates_done
from scripts.lib.trained import build_criterion, load_split, load_trained

SKIPPED = "skip target"
"""What is said of a target that is held against a slot that another one has already (*clone prediction*)."""


@dataclass(frozen=True)
class Held:
    """A target, or ε, that a slot is held against.

    Attributes:
        token: as the dictionary spells it.
        hidden, now: its probability in the slot on a canvas that is masked throughout, and on this one.
        operator: of the alignment; "" where each slot has one target.
    """

    token: str
    hidden: float
    now: float
    operator: str

    def probabilities(self, decimals: int) -> str:
        """``0.013 → 0.210``, or one number where they look the same."""
        both = (f"{self.hidden:.{decimals}f}", f"{self.now:.{decimals}f}")
        return " → ".join(dict.fromkeys(both))


@dataclass(frozen=True)
class TrainingSlot:
    """One slot of the canvas.

    Attributes:
        shown: the token that training reveals; None where it is masked.
        held: what the slot is held against; empty where the target does not fit (CTC).
        predicted, probability: the most probable token on this canvas.
        mask_probability: what the input predictor gives "masked"; None without one.
    """

    shown: str | None
    held: tuple[Held, ...]
    predicted: str
    probability: float
    mask_probability: float | None


@dataclass(frozen=True)
class TrainingView:
    """The canvas of one sentence.

    Attributes:
        rule: what reveals tokens and what aligns, for people.
        slots: from left to right.
        pattern: of a monotonic alignment, in words; "" where there is none.
    """

    rule: str
    slots: tuple[TrainingSlot, ...]
    pattern: str

    @property
    def revealed(self) -> int:
        """How many slots show their token."""
        return sum(slot.shown is not None for slot in self.slots)


class TrainingReader:
    """A model and the criterion of its training; without dropout and label smoothing.

    Args:
        data: the binarised data folder.
        device: where to compute.

    Raises:
        UserError: checkpoint or data cannot be used.
    """

    def __init__(self, checkpoint: Path, data: Path, split: str, device: torch.device) -> None:
        self._model, saved, self._task = load_trained(checkpoint, data, device)
        self._criterion = build_criterion(saved.criterion, self._task)
        self._updates = updates_done(load_checkpoint(checkpoint))
        self._device = device
        self._dataset = load_split(self._task, split)
        self._dictionary = self._task.target_dictionary

    @torch.no_grad()
    def view(self, place: int) -> TrainingView | None:
        """The sentence at ``place`` of the split, from 0; None where it has no target."""
        from fairseq import utils

        from nat_plugin.criterions.base import target_batch
        from nat_plugin.models.nat_transformer import NatOutput

        if self._dataset.tgt is None or self._dataset.tgt_sizes[place] < 2:
            return None
        sample = self._dataset.collater([self._dataset[place]])
        if self._device.type == "cuda":
            sample = utils.move_to_cuda(sample, self._device)
        model, maker = self._model, self._model.canvas_maker
        targets = target_batch(sample["target"], self._dictionary.pad())
        encoder_out = self._encode(sample, targets)
        lengths = model.upsampled_lengths(encoder_out) if model.upsamples else targets.lengths
        width = int(lengths[0]) if model.upsamples else targets.tokens.size(1)
        hidden = model.decode_canvas(maker.hidden(lengths, width).slots, lengths, encoder_out)
        if maker.has_first_pass:
            first = maker.first_pass(
                lambda _: hidden,
                lengths,
                width,
                lambda logits, slots: self._criterion.proxy_targets(targets, logits, slots),
            )
            canvas = maker.after_first_pass(first, lengths, self._updates, sample["id"])
        elif model.upsamples:
            canvas = maker.hidden(lengths, width)
        else:
            canvas = maker.of_targets(targets.tokens, lengths, self._updates, sample["id"], noisy=True)
        now = model.decode_canvas(canvas.slots, lengths, encoder_out)
        output = NatOutput(now, canvas.masked, lengths, proxy=canvas.proxy)
        shown = targets.tokens if canvas.proxy is None else canvas.proxy
        masks = None
        if has_input_predictor(model):
            masks = model.input_logits(lengths, width, encoder_out)[0].sigmoid().tolist()
        return self._describe(output, targets, shown, hidden, masks)

    def _encode(self, sample: dict[str, Any], targets: Any) -> dict[str, Any]:
        """The encoder's output; with a latent variable, z is drawn from the posterior, as in training."""
        source = sample["net_input"]
        encoder_out: dict[str, Any] = self._model.encode(source["src_tokens"], source["src_lengths"])
        if not has_latent(self._model):
            return encoder_out
        target = build_canvas(
            targets.tokens, targets.lengths, pad_idx=self._dictionary.pad(), eos_idx=self._dictionary.eos()
        )
        sampled: dict[str, Any]
        sampled, _ = self._model.latent.infer(
            encoder_out,
            source["src_tokens"],
            target,
            free_bits=0.0,
            update=self._updates,
            sentence_ids=sample["id"],
        )
        return sampled

    def _describe(
        self, output: Any, targets: Any, shown: Tensor, hidden: Tensor, masks: list[float] | None
    ) -> TrainingView:
        # before the criterion, which may write its gradient over the logits
        best = output.logits[0].float().softmax(1).max(1)
        symbols = torch.cat([targets.tokens, torch.full_like(targets.tokens[:, :1], self._task.blank_idx)], 1)
        at_first, at_last = (
            slot_log_probs(logits, symbols, output.lengths).of_tokens[0].exp().tolist()
            for logits in (hidden, output.logits)
        )
        columns, pattern = self._columns(output, targets)
        texts = [self._dictionary[token] for token in symbols[0].tolist()]
        tokens, values = best.indices.tolist(), best.values.tolist()
        slots = tuple(
            TrainingSlot(
                shown=None if output.masked[0, slot] else self._dictionary[int(shown[0, slot])],
                held=tuple(
                    Held(texts[column], at_first[slot][column], at_last[slot][column], operator)
                    for column, operator in columns[slot]
                ),
                predicted=self._dictionary[tokens[slot]],
                probability=values[slot],
                mask_probability=None if masks is None else masks[slot],
            )
            for slot in range(int(output.lengths[0]))
        )
        return TrainingView(self._rule(), slots, pattern)

    def _columns(self, output: Any, targets: Any) -> tuple[list[list[tuple[int, str]]], str]:
        """The targets of each slot by their places, ε after the last, with their operators; and the pattern."""
        count, width = int(targets.lengths[0]), int(output.lengths[0])
        found: list[list[tuple[int, str]]] = [[] for _ in range(width)]
        if not self._criterion.monotonic:
            proxy = self._criterion.proxy_of(output, targets)[0, :width].tolist()
            own = targets.tokens[0, :count].tolist()
            for slot, token in enumerate(proxy):
                # where a token is there twice, the nearest one: which of them makes no difference to the loss
                found[slot] = [(min((p for p in range(count) if own[p] == token), key=lambda p: abs(p - slot)), "")]
            return found, ""
        batch = self._criterion.aligned(output, targets)
        alignment: MonotonicAlignment | None
        if isinstance(batch.alignment, AxeAlignment):
            [alignment] = of_axe(batch.alignment, batch.lengths, targets.lengths)
        else:
            [alignment] = of_ctc(batch.alignment, batch.lengths, targets.lengths, self._task.blank_idx)
        if alignment is None:
            return found, "the target does not fit"
        for step in alignment.steps:
            operator = SKIPPED if step.operator == Operator.CLONE_PREDICTION else step.operator.value
            column = targets.tokens.size(1) if step.target is None else step.target
            found[step.slot].append((column, operator))
        return found, alignment.pattern

    def _rule(self) -> str:
        """``nat_axe, δ = 3; glancing with ratio 0.32 (update 5000)``."""
        criterion, revealing = self._criterion.cfg, self._model.canvas_maker.revealing
        aligner = str(criterion._name)
        if hasattr(criterion, "skip_target_penalty"):
            aligner += f", δ = {criterion.skip_target_penalty:g}"
        ratio = ""
        if revealing.masking in ("glancing", "fixed_ratio"):
            ratio = f" with ratio {revealing.ratio.at(self._updates):.3g}"
        return f"{aligner}; masking: {revealing.masking}{ratio}; update {self._updates}"
