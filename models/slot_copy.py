"""The option --copying: what stands in masked slots in place of ``<mask>``."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from nat_plugin.canvas.copying import soft_copy, uniform_copy


class SlotCopy(nn.Module):
    """Copies the encoder's states, or the source's embeddings, into the slots; see :mod:`nat_plugin.canvas.copying`.

    SoftCopy's temperature is learned as its logarithm, so that it stays positive.

    Args:
        cfg: our model's options; ``copying`` is not ``none``.
    """

    def __init__(self, cfg: Any) -> None:
        super().__init__()
        self.soft = cfg.copying == "soft"
        self.of_embeddings = cfg.copying == "hard"
        if self.soft:
            log_temperature = torch.tensor(math.log(cfg.soft_copy_temperature))
            if cfg.fixed_soft_copy_temperature:
                self.register_buffer("log_temperature", log_temperature, persistent=False)
            else:
                self.log_temperature = nn.Parameter(log_temperature)

    @property
    def temperature(self) -> Tensor:
        """SoftCopy's τ, in slots, in single precision or better."""
        return self.log_temperature.to(torch.promote_types(self.log_temperature.dtype, torch.float32)).exp()

    def forward(self, encoder_out: dict[str, Any], lengths: Tensor, width: int) -> Tensor:
        """Copies [B, width, D] for canvases of ``lengths`` [B] slots."""
        padding = encoder_out["encoder_padding_mask"][0]
        if self.of_embeddings:  # scaled as the decoder's are; the decoder adds positions of its own
            return uniform_copy(encoder_out["encoder_embedding"][0], padding, lengths, width)
        states = encoder_out["encoder_out"][0].transpose(0, 1)
        if self.soft:
            return soft_copy(states, padding, lengths, width, self.temperature)
        return uniform_copy(states, padding, lengths, width)
