"""A latent variable z for each source position (Shu et al. 2020; Gu & Kong 2021, §3.2 and appendix A).

z has D dimensions, spherical Gaussians all: the prior p(z | x) is read off the encoder's states; the posterior
q(z | x, y), for training, has an encoder over y and a decoder over x's embeddings of its own. z is projected and added
to the encoder's states for the decoder and for what is copied into its slots; the length is predicted without it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from fairseq.models.transformer import TransformerDecoderBase, TransformerEncoderBase
from torch import Tensor, nn

from nat_plugin.canvas.random import Stream, sentence_normal
from nat_plugin.models.building import transformer_config

# A scale of 0 has no logarithm.
_LEAST_SCALE = 1e-4


class Gaussian(NamedTuple):
    """A spherical Gaussian for each source position: ``mean`` and ``scale`` [B, S, D], float32 or better."""

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, projected: Tensor) -> Gaussian:
        """From a projection [B, S, 2·D]: the mean, and the scale through softplus."""
        mean, scale = projected.to(torch.promote_types(projected.dtype, torch.float32)).chunk(2, -1)
        return cls(mean, torch.nn.functional.softplus(scale) + _LEAST_SCALE)

    def divergence(self, other: Gaussian) -> Tensor:
        """KL(self ‖ other) of each position and dimension, nats: [B, S, D]."""
        squares = self.scale**2 + (self.mean - other.mean) ** 2
        return (other.scale / self.scale).log() + squares / (2 * other.scale**2) - 0.5


class LatentTerms(NamedTuple):
    """What training says about z; sums are over the batch's real source positions, end markers included.

    Attributes:
        costs: [B], nats, with gradient: the mean over a sentence's positions of max(free bits, KL of the position).
        positions: [B] int64, how many there are.
        divergences: [D], sums of KL(posterior ‖ prior), nats.
        means, squares: [], sums over positions and dimensions of the posterior's means and of their squares.
    """

    costs: Tensor
    positions: Tensor
    divergences: Tensor
    means: Tensor
    squares: Tensor


def latent_terms(posterior: Gaussian, prior: Gaussian, padding: Tensor, free_bits: float) -> LatentTerms:
    """KL costs and statistics.

    Args:
        padding: [B, S] bool, on either side.
        free_bits: nats a position, below which its KL costs no less.
    """
    positions = (~padding).sum(1)
    divergences = posterior.divergence(prior).masked_fill(padding.unsqueeze(2), 0.0)
    paid = divergences.sum(2).clamp(min=free_bits).masked_fill(padding, 0.0)
    means = posterior.mean.detach().masked_fill(padding.unsqueeze(2), 0.0)
    return LatentTerms(
        costs=paid.sum(1) / positions,
        positions=positions,
        divergences=divergences.detach().sum((0, 1)),
        means=means.sum(),
        squares=means.square().sum(),
    )


class LatentModel(nn.Module):
    """Prior, posterior, and the way back into the encoder's states.

    Args:
        cfg: our model's options; ``latent_dim`` is not 0.
        source, target: the dictionaries.
        source_embedding, target_embedding: the model's own, all that the posterior shares with it.
    """

    def __init__(
        self, cfg: Any, source: Any, target: Any, source_embedding: nn.Embedding, target_embedding: nn.Embedding
    ) -> None:
        super().__init__()
        width, self.dim, self.seed = cfg.encoder_embed_dim, cfg.latent_dim, cfg.seed
        posterior = _posterior_config(cfg)
        self.prior_projection = nn.Linear(width, 2 * self.dim)
        self.target_encoder = TransformerEncoderBase(posterior, target, target_embedding)
        self.source_decoder = _SourceDecoder(posterior, source, source_embedding)
        self.posterior_projection = nn.Linear(width, 2 * self.dim)
        self.to_states = nn.Linear(self.dim, width)

    def prior(self, encoder_out: dict[str, Any]) -> Gaussian:
        """p(z | x) from the encoder's output."""
        return Gaussian.of(self.prior_projection(encoder_out["encoder_out"][0].transpose(0, 1)))

    def posterior(self, src_tokens: Tensor, target_tokens: Tensor) -> Gaussian:
        """q(z | x, y) from token ids [B, S] and [B, n+1], both with end of sentence, padded on either side."""
        target = self.target_encoder(target_tokens)
        states, _ = self.source_decoder.extract_features(src_tokens, encoder_out=target, full_context_alignment=True)
        return Gaussian.of(self.posterior_projection(states))

    def infer(
        self,
        encoder_out: dict[str, Any],
        src_tokens: Tensor,
        target_tokens: Tensor,
        *,
        free_bits: float,
        update: int,
        sentence_ids: Tensor,
    ) -> tuple[dict[str, Any], LatentTerms]:
        """The encoder's output with a sample of the posterior, and what that costs.

        Args:
            src_tokens, target_tokens: as in :meth:`posterior`.
            free_bits: nats a position, below which its KL costs no less.
            update, sentence_ids: what the noise depends on.
        """
        padding = encoder_out["encoder_padding_mask"][0]
        posterior = self.posterior(src_tokens, target_tokens)
        terms = latent_terms(posterior, self.prior(encoder_out), padding, free_bits)
        return self._with_sample(encoder_out, posterior, 1.0, update, sentence_ids), terms

    def sample_prior(self, encoder_out: dict[str, Any], temperature: float, seeds: Tensor) -> dict[str, Any]:
        """The encoder's output with a sample of the prior; see :meth:`NatTransformerModel.sample_latent`."""
        return self._with_sample(encoder_out, self.prior(encoder_out), temperature, 0, seeds)

    def add_to(self, encoder_out: dict[str, Any]) -> dict[str, Any]:
        """The encoder's output with its ``latent`` z [B, S, D] projected and added to its states."""
        states = encoder_out["encoder_out"][0]
        added = self.to_states(encoder_out["latent"][0].to(self.to_states.weight.dtype)).transpose(0, 1)
        return {**encoder_out, "encoder_out": [states + added]}

    def _with_sample(
        self, encoder_out: dict[str, Any], gaussian: Gaussian, temperature: float, update: int, sentence_ids: Tensor
    ) -> dict[str, Any]:
        """mean + temperature · scale · noise, which depends on the sentence and the word, not on batch or padding."""
        padding = encoder_out["encoder_padding_mask"][0]
        batch, width = padding.shape
        drawn = sentence_normal(self.seed, update, sentence_ids, width * self.dim, Stream.LATENT)
        word = ((~padding).cumsum(1) - 1).clamp(min=0).unsqueeze(2).expand(-1, -1, self.dim)
        noise = drawn.view(batch, width, self.dim).gather(1, word).to(gaussian.mean.dtype)
        return {**encoder_out, "latent": [gaussian.mean + temperature * gaussian.scale * noise]}


class _SourceDecoder(TransformerDecoderBase):
    """The posterior's decoder over the source: no causal mask, no output layer."""

    def __init__(self, cfg: Any, dictionary: Any, embed_tokens: nn.Embedding) -> None:
        super().__init__(cfg, dictionary, embed_tokens, output_projection=nn.Identity())

    def upgrade_state_dict_named(self, state_dict: dict[str, Tensor], name: str) -> dict[str, Tensor]:
        """fairseq's would add an output layer to the checkpoint."""
        return state_dict


def _posterior_config(cfg: Any) -> Any:
    """Its encoder reads the target and its decoder the source: each side has the widths of the other's."""
    shapes = ("embed_dim", "ffn_embed_dim", "attention_heads", "normalize_before")
    return transformer_config(
        cfg,
        **{f"encoder_{shape}": getattr(cfg, f"decoder_{shape}") for shape in shapes},
        **{f"decoder_{shape}": getattr(cfg, f"encoder_{shape}") for shape in shapes},
        encoder_layers=cfg.latent_layers,
        decoder_layers=cfg.latent_layers,
        max_source_positions=cfg.max_target_positions,
        max_target_positions=cfg.max_source_positions,
    )
