"""Candidates from the most probable token of each slot, in one pass or by mask-predict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nat_plugin.canvas.lengths import scaled_lengths
from nat_plugin.decoding.candidates import Candidates
from nat_plugin.decoding.finalising import FinalTokens, finalise
from nat_plugin.decoding.mask_predict import FilledCanvas, mask_predict
from nat_plugin.decoding.options import DecodingOptions
from nat_plugin.decoding.output_symbols import OutputSymbols


def canvas_lengths(model: Any, encoder_out: dict[str, Any], options: DecodingOptions) -> Tensor:
    """Slots of the canvases on which each sentence is decoded, [B, k] int64, the most probable length first.

    Args:
        encoder_out: of B sentences.
    """
    if model.upsamples:
        upsampled: Tensor = model.upsampled_lengths(encoder_out)
        return upsampled.unsqueeze(1)
    predicted = model.candidate_lengths(encoder_out, options.length_candidates)
    return scaled_lengths(predicted, options.length_multiplier, model.max_slots)


def fill_slots(
    model: Any,
    encoder_out: dict[str, Any],
    options: DecodingOptions,
    symbols: OutputSymbols,
    sampled: Callable[[Tensor, dict[str, Any]], FilledCanvas] | None = None,
) -> Candidates:
    """Decode each sentence for each value of z and each of its most probable lengths.

    Args:
        encoder_out: of B·``options.latent_samples`` sentences, see :func:`nat_plugin.decoding.latent.with_latent`.
        symbols: on the model's device.
        sampled: from lengths [B·k] and the encoder's output to canvases filled in another way than one pass over masked
            slots or mask-predict.
    """
    canvases = canvas_lengths(model, encoder_out, options)
    sentences, lengths_each = canvases.shape
    count, lengths = options.latent_samples * lengths_each, canvases.flatten()
    if lengths_each > 1:
        rows = torch.arange(sentences, device=lengths.device).repeat_interleave(lengths_each)
        encoder_out = model.encoder.reorder_encoder_out(encoder_out, rows)

    def predict(slots: Tensor) -> tuple[Tensor, Tensor]:
        best: tuple[Tensor, Tensor] = model.fill_slots(slots, lengths, encoder_out, symbols)
        return best

    def final(tokens: Tensor, scores: Tensor) -> FinalTokens:
        return finalise(
            tokens,
            scores,
            lengths,
            dropped=symbols.dropped,
            pad_idx=symbols.pad,
            collapse=model.upsamples,
            deduplicate=options.deduplicate,
        )

    if sampled is not None:
        filled = sampled(lengths, encoder_out)
    else:
        filled = mask_predict(
            predict,
            lengths,
            mask_idx=symbols.mask,
            iterations=options.iterations,
            stop_when_unchanged=options.stop_when_unchanged,
            remask_neighbours=options.remask_neighbours,
            keep_history=options.retain_history,
        )
    done = final(filled.tokens, filled.scores)
    history = [final(tokens, scores) for tokens, scores in filled.history]
    return Candidates(
        count=count,
        tokens=done.tokens,
        lengths=done.lengths,
        scores=done.mean_scores(),
        steps=filled.steps,
        token_scores=lambda rows: done.scores[rows],
        history=[(entry.tokens, entry.scores, entry.lengths) for entry in history],
    )
