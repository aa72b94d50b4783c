"""An autoregressive model that translates the sentences of a data folder in this process."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

import nat_plugin
from nat_plugin.errors import UserError
from nat_plugin.symbols import SPECIAL_SYMBOLS

# A hypothesis of more than 3 × source + 10 subwords has run away: no pair of languages needs that.
MAX_LENGTH_RATIO = 3
MAX_LENGTH_EXTRA = 10

# Why a hypothesis cannot stand in a training set.
SOURCE_TOO_LONG = "source longer than the teacher takes"
MISSING = "no hypothesis"
EMPTY = "empty"
TOO_LONG = "too long"
UNKNOWN = "holds <unk>"
RESERVED = "holds a reserved symbol"


@dataclass(frozen=True)
class TeacherOptions:
    """What decides a translation.

    Attributes:
        checkpoint: the model file.
        data: the binarised data folder.
        split: which part of it to translate.
        max_tokens: the most source tokens a batch may hold, padding included.
    """

    checkpoint: str
    data: str
    split: str
    beam: int
    lenpen: float
    max_tokens: int
    fp16: bool


@dataclass(frozen=True)
class Translation:
    """One sentence's translation.

    Attributes:
        index: the sentence's place in the split, from 0.
        tokens: subwords joined by spaces; empty where there is none.
        fault: why it cannot stand in a training set, or None.
    """

    index: int
    tokens: str
    fault: str | None


class Teacher:
    """The loaded model and data.

    Args:
        device: where to compute.

    Raises:
        UserError: the checkpoint or the data cannot be loaded, or the model is not autoregressive.
    """

    def __init__(self, options: TeacherOptions, device: torch.device) -> None:
        nat_plugin.register()
        from fairseq import checkpoint_utils

        logging.getLogger("fairseq").setLevel(logging.WARNING)  # what it loads would tear the progress bar

        self._options = options
        self._device = device
        models, _, task = checkpoint_utils.load_model_ensemble_and_task(
            [options.checkpoint], arg_overrides={"data": options.data}
        )
        self._task = task
        self._models = [self._prepare(model) for model in models]
        self._generator = task.build_generator(self._models, self._generation_config())
        if not hasattr(self._generator, "beam_size"):
            raise UserError(f"{options.checkpoint} is not an autoregressive model: distil from a method=teacher run.")
        task.load_dataset(options.split)
        self._dataset = task.dataset(options.split)
        self._max_source, self._max_target = task.max_positions()

    def __len__(self) -> int:
        return len(self._dataset)

    def _generation_config(self) -> Any:
        from fairseq.dataclass.configs import GenerationConfig
        from omegaconf import OmegaConf

        return OmegaConf.structured(
            GenerationConfig(
                beam=self._options.beam,
                lenpen=self._options.lenpen,
                max_len_a=MAX_LENGTH_RATIO,
                max_len_b=MAX_LENGTH_EXTRA,
            )
        )

    def _prepare(self, model: Any) -> Any:
        from omegaconf import OmegaConf

        if self._options.fp16:
            model.half()
        model.to(self._device)
        model.prepare_for_inference_(OmegaConf.create({"generation": self._generation_config()}))
        return model

    def translate(self, indices: Sequence[int]) -> Iterator[list[Translation]]:
        """Yield the translations of these sentences batch by batch, the longest sentences first."""
        lengths = {index: int(self._dataset.src_sizes[index]) for index in indices}
        usable = [index for index in indices if lengths[index] <= self._max_source]
        rejected = [Translation(index, "", SOURCE_TOO_LONG) for index in indices if lengths[index] > self._max_source]
        if rejected:
            yield rejected
        usable.sort(key=lambda index: (-lengths[index], index))
        for batch in batches_by_tokens(usable, [lengths[index] for index in usable], self._options.max_tokens):
            yield self._translate_batch(batch)

    @torch.no_grad()
    def _translate_batch(self, batch: Sequence[int]) -> list[Translation]:
        from fairseq import utils

        sample = self._dataset.collater([self._dataset[index] for index in batch])
        if self._device.type == "cuda":
            sample = utils.move_to_cuda(sample, self._device)
        found = self._task.inference_step(self._generator, self._models, sample)
        indices = sample["id"].tolist()
        if len(found) != len(indices) or sorted(indices) != sorted(batch):
            raise UserError(
                f"fairseq gave {len(found)} translations of {len(batch)} sentences: use another build of it."
            )
        return [self._translation(index, nbest) for index, nbest in zip(indices, found, strict=True)]

    def _translation(self, index: int, nbest: Sequence[dict[str, Any]]) -> Translation:
        if not nbest:
            return Translation(index, "", MISSING)
        target = self._task.target_dictionary
        tokens = [token for token in nbest[0]["tokens"].tolist() if token != target.eos()]
        source_length = int(self._dataset.src_sizes[index]) - 1  # without the end of sentence
        limit = min(MAX_LENGTH_RATIO * source_length + MAX_LENGTH_EXTRA, self._max_target - 1)
        return Translation(index, " ".join(target[token] for token in tokens), find_fault(tokens, limit, target))


def find_fault(tokens: Sequence[int], limit: int, dictionary: Any) -> str | None:
    """Why these tokens (without end of sentence) cannot be a training target, or None.

    Args:
        limit: the most tokens a target may have.
        dictionary: fairseq's, of the target language.
    """
    if not tokens:
        return EMPTY
    if len(tokens) > limit:
        return TOO_LONG
    if dictionary.unk() in tokens:
        return UNKNOWN
    reserved = {dictionary.bos(), dictionary.pad()}
    reserved |= {dictionary.index(symbol) for symbol in SPECIAL_SYMBOLS if symbol in dictionary}
    return RESERVED if reserved.intersection(tokens) else None


def batches_by_tokens(indices: Sequence[int], lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Cut ``indices``, sorted from long to short, into batches of at most ``max_tokens`` with padding.

    A sentence that is longer by itself makes a batch of its own.
    """
    batch: list[int] = []
    longest = 0
    for index, length in zip(indices, lengths, strict=True):
        if batch and max(longest, length) * (len(batch) + 1) > max_tokens:
            yield batch
            batch, longest = [], 0
        batch.append(index)
        longest = max(longest, length)
    if batch:
        yield batch
