"""Models with random weights that translate sentences of a stated length into translations of a stated length.

What a translation costs depends on the shapes alone, as long as the autoregressive model is held to a length and the
canvas of the other is given: then a comparison of speed needs no training.
"""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Optional

import torch
from fairseq import utils
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY, MODEL_DATACLASS_REGISTRY
from fairseq.sequence_generator import SequenceGenerator
from omegaconf import OmegaConf
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

import nat_plugin

nat_plugin.register()

from benchmarks.training import made_up_dictionary
from nat_plugin.decoding.generator import NatGenerator
from nat_plugin.decoding.options import DecodingOptions

Sample = dict[str, Any]


def _attention_flop(query: Any, key: Any, value: Any, *unused: Any, **none: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


def _packed_flop(states: Any, *unused: Any, out_shape: Any, **none: Any) -> int:
    return 2 * math.prod(states) * int(out_shape[-1])


# torch's counter knows these products on GPUs only, or not at all
_ON_CPU = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flop,
    torch.ops.mkldnn._linear_pointwise: _packed_flop,
}
_MOST_POSITIONS = 1024


@dataclass(frozen=True)
class Width:
    """Attributes:
    embed_dim, ffn_embed_dim, heads, layers: of both sides; ``layers`` of each.
    """

    embed_dim: int
    ffn_embed_dim: int
    heads: int
    layers: int

    def flags(self, encoder_layers: int, decoder_layers: int) -> dict[str, Any]:
        """As fairseq names them."""
        sides = {"encoder": encoder_layers, "decoder": decoder_layers}
        return {
            f"{side}_{name}": value
            for side, layers in sides.items()
            for name, value in {
                "embed_dim": self.embed_dim,
                "ffn_embed_dim": self.ffn_embed_dim,
                "attention_heads": self.heads,
                "layers": layers,
            }.items()
        }


BASE = Width(512, 2048, 8, 6)


@dataclass(frozen=True)
class Task:
    """What is translated.

    Attributes:
        vocabulary: of one dictionary for both sides, symbols included.
        length: tokens of each source, and of each translation of the autoregressive model, without end markers.
        sentences: how many there are for Lmax.
        device: ``cpu`` or ``cuda``.
        fp16: half precision.
    """

    vocabulary: int
    length: int
    sentences: int
    device: str = "cpu"
    fp16: bool = False

    @cached_property
    def dictionary(self) -> Any:
        """Of both sides."""
        return made_up_dictionary(self.vocabulary)

    def sample(self, ids: torch.Tensor) -> Sample:
        """The sentences of these numbers, on the CPU."""
        first, after = self.dictionary.nspecial, self.vocabulary - 2  # <mask> and <blank> come last
        words = [
            torch.randint(first, after, (self.length,), generator=torch.Generator().manual_seed(number))
            for number in ids.tolist()
        ]
        source = torch.nn.functional.pad(torch.stack(words), (0, 1), value=self.dictionary.eos())
        lengths = torch.full((len(ids),), self.length + 1)
        return {"id": ids, "net_input": {"src_tokens": source, "src_lengths": lengths}}


class RandomSystem:
    """A model and its generator; see :class:`scripts.lib.latency.translator.Translates`.

    Args:
        cfg: what the model is prepared for translation with, as it is by fairseq-generate: on its device, in its
            precision.
    """

    def __init__(self, title: str, task: Task, model: Any, generator: Any, cfg: Any = None) -> None:
        self.title, self.task, self.model, self.generator = title, task, model, generator
        self.longest = 1
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        """Numbers in the model."""
        if task.fp16:
            model.half()
        model.to(task.device).prepare_for_inference_(cfg)
        model.to("cpu")

    @contextmanager
    def loaded(self) -> Iterator[RandomSystem]:
        """The model on its device, and off it again."""
        self.model.to(self.task.device)
        try:
            yield self
        finally:
            self.model.to("cpu")

    def gflop(self) -> float:
        """Floating-point operations of the matrix products for one sentence, 10⁹; a multiplication and an addition are
        two."""
        with FlopCounterMode(display=False, custom_mapping=_ON_CPU) as counter:
            self.translate(self.task.sample(torch.tensor([0])))
        return float(counter.get_total_flops()) / 1e9

    def translate(self, sample: Sample) -> list[list[int]]:
        """The best translation of each sentence, as token ids in main memory."""
        on_device = utils.move_to_cuda(sample) if self.task.device == "cuda" else sample
        found = self.generator.generate([self.model], on_device)
        return [nbest[0]["tokens"].tolist() for nbest in found]

    def batches(self, size: int) -> list[Sample]:
        """All sentences, ``size`` of them a batch."""
        return [self.task.sample(ids) for ids in torch.arange(self.task.sentences).split(size)]


def autoregressive(task: Task, width: Width, beam: int, layers: Optional[tuple[int, int]] = None) -> RandomSystem:
    """fairseq's transformer and its beam search, held to exactly ``task.length`` tokens.

    Args:
        layers: of encoder and decoder; by default those of the width.
    """
    encoder_layers, decoder_layers = layers or (width.layers, width.layers)
    positions = {f"max_{side}_positions": _MOST_POSITIONS for side in ("source", "target")}
    arguments = Namespace(**width.flags(encoder_layers, decoder_layers), **positions, share_all_embeddings=True)
    ARCH_CONFIG_REGISTRY["transformer"](arguments)
    torch.manual_seed(1)
    dictionary = task.dictionary
    fairseq_task = Namespace(source_dictionary=dictionary, target_dictionary=dictionary)
    model = ARCH_MODEL_REGISTRY["transformer"].build_model(arguments, fairseq_task).eval()
    search = {"beam": beam, "print_alignment": None, "no_beamable_mm": False}
    generator = SequenceGenerator(
        [model], dictionary, beam_size=beam, max_len_a=0, max_len_b=task.length, min_len=task.length
    )
    shape = "" if layers is None else f" {encoder_layers}-{decoder_layers}"
    cfg = OmegaConf.create({"generation": search})
    return RandomSystem(f"autoregressive{shape}, beam {beam}", task, model, generator, cfg)


def one_pass(task: Task, width: Width, upsample_scale: float = 0.0) -> RandomSystem:
    """Our model, decoded in one pass.

    Args:
        upsample_scale: s of a CTC model; 0 for a model that predicts the target's length, which is made to predict
            the source's, so that m = n.
    """
    preset = "ctc" if upsample_scale else "cmlm"
    settings = {
        **width.flags(width.layers, width.layers),
        **{f"max_{side}_positions": _MOST_POSITIONS for side in ("source", "target")},
        "seed": 1,
        "_name": preset,
        "upsample_scale": upsample_scale,
    }
    config = OmegaConf.merge(OmegaConf.structured(MODEL_DATACLASS_REGISTRY[preset]), settings)
    torch.manual_seed(1)
    dictionary = task.dictionary
    symbols = {"mask_idx": len(dictionary) - 2, "blank_idx": len(dictionary) - 1}
    fairseq_task = Namespace(source_dictionary=dictionary, target_dictionary=dictionary, **symbols)
    model = ARCH_MODEL_REGISTRY[preset].build_model(config, fairseq_task).eval()
    if not upsample_scale:
        _predict_the_sources_length(model)
    title = f"CTC, s = {upsample_scale:g}" if upsample_scale else "one pass, m = n"
    return RandomSystem(title, task, model, NatGenerator(dictionary, DecodingOptions()))


@torch.no_grad()
def _predict_the_sources_length(model: Any) -> None:
    predictor = model.length_predictor
    predictor.projection.weight.zero_()
    predictor.projection.bias.zero_()
    predictor.projection.bias[predictor.max_offset] = 1.0
