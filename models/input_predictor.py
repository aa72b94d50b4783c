"""Which slots would training reveal? A guess from the source alone (the input predictor of Huang et al. 2022, §E.6)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from nat_plugin.errors import UserError


class InputPredictor(nn.Module):
    """P(z_i is masked | X): a binary classifier on top of the decoder, which has read a fully masked canvas.

    Args:
        embed_dim: width of the decoder's states.
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.projection = nn.Linear(embed_dim, 1)

    def forward(self, states: Tensor) -> Tensor:
        """Logits [B, m] of "this slot is masked", from the decoder's states [B, m, D] over masked slots."""
        logits: Tensor = self.projection(states).squeeze(2)
        return logits


def check_input_predictor(cfg: Any) -> None:
    """What does not go with ``--input-predictor``.

    Args:
        cfg: our model's options.

    Raises:
        UserError: training reveals nothing that could be predicted, or no proxy input in the paper's sense.
    """
    if not cfg.input_predictor:
        return
    if cfg.masking == "full":
        raise UserError(
            "--input-predictor has nothing to predict with --masking full, which reveals no token: use --masking "
            "uniform, fixed_ratio or glancing, or drop it."
        )
    if cfg.upsample_scale:
        raise UserError(
            "--input-predictor does not go with --upsample-scale, whose slots show a path and not the target: drop it."
        )
    if cfg.latent_dim:
        raise UserError(
            "--input-predictor does not go with --latent-dim: in training z knows the target, and the predictor may "
            "know the source alone; drop one of them."
        )
    if cfg.decoder_mask_fill == "bert" or cfg.decoder_mask_span > 1:
        said = "fill bert" if cfg.decoder_mask_fill == "bert" else f"span {cfg.decoder_mask_span}"
        raise UserError(
            f"--input-predictor is for slots that each show <mask> or their token, not for --decoder-mask-{said}: drop "
            "one of them."
        )
