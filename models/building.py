"""From our options to fairseq's transformer."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import torch
from fairseq.models.transformer import TransformerConfig
from torch import nn

from nat_plugin.errors import UserError


def transformer_config(cfg: Any, **changes: Any) -> TransformerConfig:
    """fairseq's configuration of an encoder and a decoder.

    Args:
        cfg: our model's options.
        changes: options that are others here.
    """
    given = dict(cfg.items()) if hasattr(cfg, "items") else {key: getattr(cfg, key) for key in cfg.__dataclass_fields__}
    options = {**given, **changes}
    learned = cfg.positions == "learned"
    return TransformerConfig.from_namespace(
        Namespace(
            **options,
            encoder_learned_pos=learned,
            decoder_learned_pos=learned,
            share_decoder_input_output_embed=cfg.share_embeddings != "none",
            decoder_output_dim=options["decoder_embed_dim"],
            decoder_input_dim=options["decoder_embed_dim"],
        )
    )


def embeddings(cfg: Any, source: Any, target: Any) -> tuple[nn.Embedding, nn.Embedding]:
    """The source's and the target's embedding, one and the same with ``--share-embeddings all``.

    Args:
        cfg: our model's options.
        source, target: the dictionaries.

    Raises:
        UserError: they cannot be one.
    """
    decoder = _embedding(len(target), cfg.decoder_embed_dim, target.pad())
    if cfg.share_embeddings != "all":
        return _embedding(len(source), cfg.encoder_embed_dim, source.pad()), decoder
    if source != target:
        raise UserError(
            "--share-embeddings all, which is the default, needs one joint dictionary, but source and target differ: "
            "add --share-embeddings decoder, or prepare the data with a joint dictionary."
        )
    if cfg.encoder_embed_dim != cfg.decoder_embed_dim:
        raise UserError(
            f"--share-embeddings all needs --encoder-embed-dim ({cfg.encoder_embed_dim}) and --decoder-embed-dim "
            f"({cfg.decoder_embed_dim}) to be equal."
        )
    return decoder, decoder


def _embedding(rows: int, dim: int, pad: int) -> nn.Embedding:
    embedding = nn.Embedding(rows, dim, padding_idx=pad)
    nn.init.normal_(embedding.weight, mean=0, std=dim**-0.5)
    with torch.no_grad():
        embedding.weight[pad].zero_()
    return embedding
