"""Several values of the latent variable for each sentence: the prior's mean, and draws around it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nat_plugin.canvas.random import sentence_hash

_SENTENCES_SECOND = ("encoder_out", "encoder_states")  # [S, B, D]; all else begins with B


def with_latent(
    model: Any, encoder_out: dict[str, Any], src_tokens: Tensor, *, samples: int, temperature: float
) -> dict[str, Any]:
    """The encoder's output with z, for ``samples`` values of z one after the other: B·samples sentences.

    Which z a sentence gets depends on its own tokens and the number of the draw alone: neither on its batch nor on the
    command that decodes it.

    Args:
        model: may say ``has_latent``; then ``sample_latent(encoder_out, temperature, draw, sentence_ids)`` gives the
            encoder's output with z, of which draw 0 is the prior's mean.
        src_tokens: [B, S].
    """
    if not getattr(model, "has_latent", False):
        return encoder_out
    ids = sentence_hash(src_tokens, ~encoder_out["encoder_padding_mask"][0])
    draws = [model.sample_latent(encoder_out, temperature, draw, ids) for draw in range(samples)]
    if samples == 1:
        return draws[0]
    together = {key: _concatenated(key, [draw[key] for draw in draws]) for key in draws[0]}
    batch = len(ids)
    by_sentence = torch.arange(samples * batch, device=ids.device).view(samples, batch).t().flatten()
    return model.encoder.reorder_encoder_out(together, by_sentence)


def _concatenated(key: str, draws: list[list[Tensor]]) -> list[Tensor]:
    dim = 1 if key in _SENTENCES_SECOND else 0
    return [torch.cat(parts, dim) for parts in zip(*draws, strict=True)]
