"""Input Sampling (Huang et al. 2022, §4.3, §E.6): decoding with a proxy input, drawn as training would draw it.

The input predictor says of each slot how probable training would have masked it, from the source alone; each slot is
drawn by that. A slot that is not masked shows the most probable token of a vanilla NAT. One pass fills the others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from nat_plugin.canvas.random import Stream, sentence_hash, sentence_uniform
from nat_plugin.decoding.mask_predict import FilledCanvas
from nat_plugin.decoding.output_symbols import OutputSymbols
from nat_plugin.decoding.vanilla_nat import load_vanilla_nat
from nat_plugin.errors import UserError
from nat_plugin.fast_inference import set_up_for_translation_
from nat_plugin.padding import length_mask

PASSES = 3
"""Of a decoder: the predictor's and the vanilla NAT's over masked slots, and the one that fills what is masked."""


def has_input_predictor(model: Any) -> bool:
    """Whether a model knows which slots training masks, as its attribute ``input_predictor`` says."""
    return getattr(model, "input_predictor", None) is not None


class InputSampler:
    """Draws proxy inputs, and fills them.

    Args:
        vanilla: the vanilla NAT, in evaluation mode; it is set up for decoding, and is not to be trained afterwards.
        seed: of the draws.
    """

    def __init__(self, vanilla: Any, seed: int) -> None:
        self._vanilla, self._seed = vanilla, seed
        self._device: torch.device | None = None

    @classmethod
    def load(cls, path: str, task: Any, *, seed: int) -> InputSampler:
        """Read the vanilla NAT; see :func:`nat_plugin.decoding.vanilla_nat.load_vanilla_nat`."""
        return cls(load_vanilla_nat(path, task), seed)

    def of_batch(
        self, model: Any, src_tokens: Tensor, src_lengths: Tensor, symbols: OutputSymbols
    ) -> Callable[[Tensor, dict[str, Any]], FilledCanvas]:
        """:meth:`fill` for one batch of sources, to be called with lengths and the model's encoder output.

        Args:
            model: it has an input predictor.
            src_tokens: [B, S], with end of sentence.
            src_lengths: [B].
            symbols: on the model's device.

        Raises:
            UserError: the vanilla NAT takes only shorter sentences than the model.
        """
        self._set_up(model, src_tokens.device)
        vanilla_out = self._vanilla.encode(src_tokens, src_lengths)
        ids = sentence_hash(src_tokens, ~vanilla_out["encoder_padding_mask"][0])
        return partial(self.fill, model, ids, vanilla_out, symbols)

    def fill(
        self,
        model: Any,
        sentence_ids: Tensor,
        vanilla_out: dict[str, Any],
        symbols: OutputSymbols,
        lengths: Tensor,
        encoder_out: dict[str, Any],
    ) -> FilledCanvas:
        """Draw a proxy input Z for each canvas, and fill it.

        What is drawn depends on the sentence's tokens, the canvas's length and the seed alone: not on the batch, nor on
        how many lengths are tried.

        Args:
            sentence_ids: [B], of the sources.
            vanilla_out: of the vanilla NAT's encoder, [B] sentences.
            lengths: [B·k], slots of each canvas, the k canvases of a sentence one after the other.
            encoder_out: of the model, for each canvas.

        Returns:
            The scores are each slot's share of the decoding confidence I = log P(Z | X) + log P(T | Z, X), nats: of a
            masked slot log P(masked) + log p(token); of a revealed one log(1 - P(masked)) + the vanilla NAT's log p.
        """
        width, canvases = int(lengths.max()), lengths.size(0) // sentence_ids.size(0)
        rows = torch.arange(len(sentence_ids), device=lengths.device).repeat_interleave(canvases)
        if canvases > 1:
            vanilla_out = self._vanilla.encoder.reorder_encoder_out(vanilla_out, rows)
        logits = model.input_logits(lengths, width, encoder_out).float()
        uniform = sentence_uniform(self._seed, 0, sentence_ids[rows] + lengths, width, Stream.INPUT_SAMPLING)
        masked = (uniform < logits.sigmoid()) & length_mask(lengths, width)
        hidden = torch.full((lengths.size(0), width), symbols.mask, device=lengths.device)
        shown, shown_scores = self._vanilla.fill_slots(hidden, lengths, vanilla_out, symbols)
        slots = shown.masked_fill(masked, symbols.mask)
        filled, scores = model.fill_slots(slots, lengths, encoder_out, symbols)
        return FilledCanvas(
            tokens=torch.where(masked, filled, shown),
            scores=torch.where(masked, logsigmoid(logits) + scores, logsigmoid(-logits) + shown_scores),
            steps=torch.full_like(lengths, PASSES),
            history=[],
        )

    def _set_up(self, model: Any, device: torch.device) -> None:
        """Compare the vanilla NAT with the model, move it to the sentences and make it fast, the first time."""
        if self._device is not None:
            return
        taken, limits = self._vanilla.max_positions(), model.max_positions()
        if any(here < there for here, there in zip(taken, limits, strict=True)):
            raise UserError(
                f"the vanilla NAT takes {taken[0]} source and {taken[1]} target tokens and the model {limits[0]} and "
                f"{limits[1]}: use one trained with the model's --max-source-positions and --max-target-positions."
            )
        self._vanilla.to(device)
        set_up_for_translation_(self._vanilla)
        self._device = device


def default_confidence(
    model: Any, lengths: Tensor, encoder_out: dict[str, Any], symbols: OutputSymbols
) -> FilledCanvas:
    """One pass over masked slots, as by default, with scores that tell its share of I as in :meth:`InputSampler.fill`.

    Where the model has no input predictor, log P(Z | X) is 0: for one that is trained on masked canvases alone.
    """
    width = int(lengths.max())
    hidden = torch.full((lengths.size(0), width), symbols.mask, device=lengths.device)
    tokens, scores = model.fill_slots(hidden, lengths, encoder_out, symbols)
    if has_input_predictor(model):
        scores = scores + logsigmoid(model.input_logits(lengths, width, encoder_out).float())
    return FilledCanvas(tokens, scores.masked_fill(~length_mask(lengths, width), 0), torch.ones_like(lengths), [])
