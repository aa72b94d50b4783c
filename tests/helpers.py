"""Small models and batches, built in this process."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import torch
from fairseq.data import Dictionary, LanguagePairDataset

import nat_plugin

nat_plugin.register()

from fairseq.dataclass.utils import merge_with_parent  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402

from nat_plugin.models.config import NatTransformerConfig  # noqa: E402
from nat_plugin.models.nat_transformer import NatTransformerModel  # noqa: E402
from nat_plugin.tasks.dictionaries import add_special_symbols  # noqa: E402
from nat_plugin.tasks.nat_translation import NatTranslationConfig, NatTranslationTask  # noqa: E402

WORDS = 12
# Gradients of a batch and of its parts, in double precision. Where torch takes its kernels for AVX2 they differ by up
# to 1e-8, with the plain ones (ATEN_CPU_CAPABILITY=default) by less than 1e-12;
# a sentence that is lost or counted twice makes far more.
ROUNDING = {"rtol": 1e-6, "atol": 1e-7}


def dictionary(words: int = WORDS) -> Dictionary:
    """Words w0, w1, … and the special symbols."""
    made = Dictionary()
    for index in range(words):
        made.add_symbol(f"w{index}")
    return add_special_symbols(made)


def task(**options: Any) -> NatTranslationTask:
    """A task with one joint dictionary and no data."""
    shared = dictionary()
    settings = {
        "data": "none",
        "source_lang": "a",
        "target_lang": "b",
        "required_seq_len_multiple": 1,
        "_name": "nat_translation",
    }
    config = OmegaConf.merge(
        OmegaConf.structured(NatTranslationConfig),
        {**settings, "train_subset": "train", "dataset_impl": None, **options},
    )
    return NatTranslationTask(config, shared, shared)


def model(for_task: NatTranslationTask, **options: Any) -> NatTransformerModel:
    """A model of width 16 and one layer a side, without dropout."""
    tiny = {
        f"{side}_{key}": value
        for side in ("encoder", "decoder")
        for key, value in {"embed_dim": 16, "ffn_embed_dim": 32, "layers": 1, "attention_heads": 2}.items()
    }
    config = OmegaConf.merge(
        OmegaConf.structured(NatTransformerConfig),
        {
            **tiny,
            "dropout": 0.0,
            "max_source_positions": 64,
            "max_target_positions": 64,
            "seed": 1,
            "max_length_offset": 8,
            **options,
        },
    )
    return NatTransformerModel.build_model(config, for_task)


def varied_model(for_task: NatTranslationTask, **options: Any) -> NatTransformerModel:
    """A random model in evaluation mode whose output depends on the source, and has favourites in every slot."""
    torch.manual_seed(2)
    varied = {"init": "xavier", "share_embeddings": "none", "positions": "sinusoidal"}
    made = model(for_task, **{**varied, **options}).eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith("weight") and ("encoder_attn" in name or "output_projection" in name):
                parameter.mul_(3)
    return made


def pairs(count: int, seed: int = 0, shortest: int = 1, longest: int = 8) -> list[tuple[list[int], list[int]]]:
    """Random sentence pairs as word numbers."""
    generator = torch.Generator().manual_seed(seed)

    def sentence() -> list[int]:
        length = int(torch.randint(shortest, longest + 1, (), generator=generator))
        return torch.randint(0, WORDS, (length,), generator=generator).tolist()

    return [(sentence(), sentence()) for _ in range(count)]


def dataset(
    for_task: NatTranslationTask, sentences: list[tuple[list[int], list[int]]], left_pad_source: bool = False
) -> LanguagePairDataset:
    """A data set of word numbers, with end of sentence on both sides."""
    shared = for_task.target_dictionary
    first = shared.index("w0")
    sides = [
        [torch.tensor([*(first + word for word in pair[side]), shared.eos()]) for pair in sentences] for side in (0, 1)
    ]
    sizes = [[len(sentence) for sentence in side] for side in sides]
    return LanguagePairDataset(
        sides[0], sizes[0], shared, sides[1], sizes[1], shared, left_pad_source=left_pad_source, shuffle=False
    )


def batch(data: LanguagePairDataset, indices: list[int] | None = None) -> dict[str, Any]:
    """Collate the chosen sentences (all by default)."""
    return data.collater([data[index] for index in (range(len(data)) if indices is None else indices)])


def criterion(name: str, for_task: NatTranslationTask, **options: Any) -> Any:
    """A registered criterion with some options set."""
    from fairseq.criterions import CRITERION_DATACLASS_REGISTRY, CRITERION_REGISTRY

    config = merge_with_parent(CRITERION_DATACLASS_REGISTRY[name](), OmegaConf.create({"_name": name, **options}))
    return CRITERION_REGISTRY[name].build_criterion(config, for_task)


def namespace(**values: Any) -> Namespace:
    """What --eval-bleu-args becomes."""
    return Namespace(**values)
