"""Small models, batches, and what NatGenerator makes of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nat_plugin.decoding.generator import NatGenerator
from nat_plugin.decoding.options import DecodingOptions
from nat_plugin.serving.graph import OnePassGraph
from tests import helpers

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # model options, decoding options
    "predicted length": ({"positions": "learned"}, {}),
    "three lengths, sinusoids, uniform copies, input predictor": (
        {"positions": "sinusoidal", "copying": "uniform", "input_predictor": True},
        {"length_candidates": 3, "length_multiplier": 1.3, "deduplicate": True},
    ),
    "two lengths, positional attention, hard copies": (
        {"positions": "sinusoidal", "copying": "hard", "positional_attention": 1},
        {"length_candidates": 2},
    ),
    "ctc, positional attention, learned positions": (
        {"masking": "full", "upsample_scale": 1.3, "positional_attention": 1},
        {},
    ),
    "ctc, SoftCopy, latent variable": (
        {
            "masking": "full",
            "upsample_scale": 1.3,
            "positions": "sinusoidal",
            "copying": "soft",
            "latent_dim": 4,
        },
        {},
    ),
    "ctc, pre-norm, own embeddings": (
        {
            "masking": "full",
            "upsample_scale": 2.5,
            "share_embeddings": "none",
            "encoder_normalize_before": True,
            "decoder_normalize_before": True,
        },
        {"deduplicate": True, "blank_penalty": 1.5},
    ),
}


class Case:
    """A model with random weights, large enough that its predictions differ, its generator and its graph."""

    def __init__(self, name: str) -> None:
        model_options, decoding = CASES[name]
        self.task = helpers.task()
        torch.manual_seed(3)
        self.model = helpers.model(self.task, init="xavier", **model_options).eval()
        if not self.model.upsamples:  # the source's length first, so that every length is predicted for some source
            predictor = self.model.length_predictor
            with torch.no_grad():
                predictor.projection.bias[predictor.max_offset] = 5.0
        self.options = DecodingOptions(**decoding)
        self.dictionary = self.task.target_dictionary
        self.generator = NatGenerator(self.dictionary, self.options)

    @property
    def graph(self) -> OnePassGraph:
        return OnePassGraph(self.model, self.dictionary, self.options).eval()

    def batch(self, lengths: list[int], seed: int = 0) -> Tensor:
        """Random source sentences with their end markers, padded on the right."""
        generator = torch.Generator().manual_seed(seed)
        first, after = self.dictionary.index("w0"), self.dictionary.index(f"w{helpers.WORDS - 1}") + 1
        source = torch.full((len(lengths), max(lengths) + 1), self.dictionary.pad())
        for row, length in zip(source, lengths, strict=True):
            row[:length] = torch.randint(first, after, (length,), generator=generator)
            row[length] = self.dictionary.eos()
        return source

    def expected(self, source: Tensor) -> list[tuple[list[int], float]]:
        """Tokens and score of each sentence, by the generator."""
        lengths = source.ne(self.dictionary.pad()).sum(1)
        sample = {"id": torch.arange(len(source)), "net_input": {"src_tokens": source, "src_lengths": lengths}}
        found = self.generator.generate([self.model], sample)
        return [(nbest[0]["tokens"].tolist(), float(nbest[0]["score"])) for nbest in found]
