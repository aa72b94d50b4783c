"""Several values of the latent variable for each sentence: the prior's mean, and draws around it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nat_plugin.canvas.random import sentence_hash


def has_latent(model: Any) -> bool:
    """Whether a model has a latent variable, as its attribute ``latent`` says."""
    return getattr(model, "latent", None) is not None


def with_latent(
    model: Any, encoder_out: dict[str, Any], src_tokens: Tensor, *, samples: int, temperature: float
) -> dict[str, Any]:
    """The encoder's output with ``samples`` values of z a sentence, one after the other: B·samples sentences.

    The first z is the prior's mean, which the encoder's output of such a model has as its ``latent``. Which others a
    sentence gets depends on its own tokens and the number of the draw alone: neither on its batch nor on the command
    that decodes it.

    Args:
        model: ``sample_latent(encoder_out, temperature, seeds)`` gives the encoder's output with another ``latent``.
        src_tokens: [B, S].
        temperature: of the draws, see there.
    """
    if samples == 1:
        return encoder_out
    ids = sentence_hash(src_tokens, ~encoder_out["encoder_padding_mask"][0])
    rows = torch.arange(len(ids), device=ids.device).repeat_interleave(samples)
    draw = torch.arange(samples, device=ids.device).repeat(len(ids))
    repeated = model.encoder.reorder_encoder_out(encoder_out, rows)
    sampled = model.sample_latent(repeated, temperature, ids[rows] + draw)
    is_mean = (draw == 0)[:, None, None]
    z = torch.where(is_mean, repeated["latent"][0], sampled["latent"][0])
    return {**repeated, "latent": [z]}
