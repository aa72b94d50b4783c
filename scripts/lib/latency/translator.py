"""A system in this process, loaded as fairseq-generate loads it and called as fairseq-generate calls it."""

from __future__ import annotations

import ast
import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch

import nat_plugin
from nat_plugin.errors import UserError
from scripts.lib.evaluation import Evaluation
from scripts.lib.generation import failure_sentence, generate_command
from scripts.lib.measuring.timing import seconds

Sample = dict[str, Any]
"""A batch as fairseq collates it, on the CPU: ``id`` [B] and ``net_input`` with ``src_tokens`` [B, S]."""


class Translates(Protocol):
    """What can be measured."""

    def translate(self, sample: Sample) -> list[list[int]]:
        """The best translation of each sentence of ``sample``, as token ids in main memory."""

    def batches(self, size: int) -> list[Sample]:
        """All sentences in batches of this size, those of long sentences first; what a size counts is theirs to say."""

    @property
    def longest(self) -> int:
        """The size of a batch of the longest sentence alone."""


def timed(system: Translates, sample: Sample, device: str, clock: str) -> tuple[float, list[list[int]]]:
    """Seconds of one translation (:func:`scripts.lib.measuring.timing.seconds`), and what it gave."""
    said: list[list[int]] = []
    return seconds(lambda: said.extend(system.translate(sample)), device, clock), said


class OutputWords:
    """Tokens as fairseq-generate prints them in its ``H-`` lines.

    Args:
        post_process: how subwords are undone, as ``--remove-bpe`` says; None leaves them.
        generator: what made the tokens, which knows the symbols that are no text.
    """

    def __init__(self, dictionary: Any, post_process: str | None, generator: Any) -> None:
        from fairseq_cli.generate import get_symbols_to_strip_from_output

        self._dictionary, self._post_process = dictionary, post_process
        self._no_text = get_symbols_to_strip_from_output(generator)

    def __call__(self, tokens: Sequence[int]) -> str:
        ids = torch.tensor(tokens, dtype=torch.int64)
        words: str = self._dictionary.string(ids, self._post_process, extra_symbols_to_ignore=self._no_text)
        return words.strip()


class Translator:
    """One system, ready to translate the sentences of its split.

    Args:
        cfg: fairseq's configuration of the generation.
        device: ``cpu`` or ``cuda``.
        sentences: use the first so many of the split; all by default.

    Raises:
        UserError: checkpoint or data cannot be used.
    """

    def __init__(self, cfg: Any, device: str, sentences: int | None = None) -> None:
        from fairseq import checkpoint_utils, tasks, utils

        self._cfg, self._device, self._most = cfg, device, sentences
        _seed(cfg.common.seed)
        self.task = tasks.setup_task(cfg.task)
        paths, overrides = utils.split_paths(cfg.common_eval.path), ast.literal_eval(cfg.common_eval.model_overrides)
        load = partial(checkpoint_utils.load_model_ensemble, arg_overrides=overrides, task=self.task)
        self.models, saved = _quietly(load, paths)
        self.task.load_dataset(cfg.dataset.gen_subset, task_cfg=saved.task)
        self.parameters = sum(parameter.numel() for model in self.models for parameter in model.parameters())
        """Numbers in the model."""
        self.dtype = "fp16" if cfg.common.fp16 else "fp32"
        """What the model computes in, as the flags are called."""
        self.use(self.models)
        self.words = OutputWords(self.task.target_dictionary, cfg.common_eval.post_process, self.generator)

    @classmethod
    def load(cls, evaluation: Evaluation, device: str) -> Translator:
        """Load the system that ``evaluation`` describes.

        Raises:
            UserError: fairseq does not take the flags, or checkpoint or data cannot be used.
        """
        return cls(generation_config(evaluation, device), device)

    def use(self, models: Sequence[Any]) -> None:
        """Translate with these models of the same task from now on; afterwards they are good for nothing else."""
        for model in models:
            if self._cfg.common.fp16:
                model.half()
            model.to(self._device)
            model.prepare_for_inference_(self._cfg)
        self.models = list(models)
        self.generator = self.task.build_generator(self.models, self._cfg.generation, extra_gen_cls_kwargs={})

    @property
    def max_positions(self) -> tuple[int, int]:
        """Longest source and longest target with their end markers."""
        from fairseq import utils

        limits = utils.resolve_max_positions(
            self.task.max_positions(), *[model.max_positions() for model in self.models]
        )
        source, target = limits
        return int(source), int(target)

    def translate(self, sample: Sample) -> list[list[int]]:
        """The best translation of each sentence, as token ids in main memory; everything from the source's way to the
        device to the tokens' way back happens in here."""
        return [nbest[0]["tokens"].tolist() if nbest else [] for nbest in self._infer(sample)]

    def _infer(self, sample: Sample) -> Any:
        from fairseq import utils

        on_device = utils.move_to_cuda(sample) if self._device == "cuda" else sample
        return self.task.inference_step(self.generator, self.models, on_device)

    def mean_passes(self, samples: Sequence[Sample]) -> float | None:
        """Decoder passes a sentence; None for an autoregressive model, which has one a token."""
        steps = [nbest[0].get("steps") for sample in samples for nbest in self._infer(sample)]
        if None in steps:
            return None
        first = 0 if hasattr(self.models[0], "decode_canvas") else 1  # fairseq's own refinement counts from 0
        return first + sum(map(int, steps)) / len(steps)

    def batches(self, size: int) -> list[Sample]:
        """Batches of at most ``size`` tokens, padding included, as fairseq's --max-tokens counts them.

        Raises:
            UserError: a sentence is too long for the model.
        """
        return self._collated(max_tokens=size)

    @property
    def longest(self) -> int:
        """Tokens of the longest sentence: no batch can be smaller."""
        dataset = self.task.dataset(self._cfg.dataset.gen_subset)
        count = len(dataset) if self._most is None else min(self._most, len(dataset))
        return max(int(dataset.num_tokens(index)) for index in range(count))

    def sentences(self) -> list[Sample]:
        """Every sentence as a batch of its own, in the order of the split."""
        return sorted(self._collated(max_sentences=1), key=lambda sample: int(sample["id"]))

    def close(self) -> None:
        """End what the generator may have started, such as worker processes."""
        end = getattr(self.generator, "close", None)
        if end is not None:
            end()

    def _collated(self, max_tokens: int | None = None, max_sentences: int | None = None) -> list[Sample]:
        dataset = self.task.dataset(self._cfg.dataset.gen_subset)
        indices = dataset.ordered_indices()
        if self._most is not None:
            indices = indices[indices < self._most]
        kept, too_long = dataset.filter_indices_by_size(indices, self.max_positions)
        if too_long:
            raise UserError(
                f"{len(too_long)} sentences, number {too_long[0] + 1} among them, are longer than "
                f"{self._cfg.common_eval.path} takes: leave them out of the test set."
            )
        batches = dataset.batch_by_size(kept, max_tokens, max_sentences, required_batch_size_multiple=1)
        samples = [_without_target(dataset.collater([dataset[index] for index in batch])) for batch in batches]
        return sorted(samples, key=lambda sample: -int(sample["net_input"]["src_tokens"].size(1)))


def _without_target(sample: Sample) -> Sample:
    """What translating needs: the reference stays at home."""
    source = {key: sample["net_input"][key] for key in ("src_tokens", "src_lengths")}
    return {"id": sample["id"], "nsentences": sample["nsentences"], "net_input": source}


def generation_config(evaluation: Evaluation, device: str) -> Any:
    """fairseq's configuration of the system's ``fairseq-generate`` command on a device; half precision is for GPUs, a
    CPU computes in fp32.

    Raises:
        UserError: fairseq does not take a flag.
    """
    flags = {**evaluation.flags, "cpu": device == "cpu"}
    if device == "cpu":
        flags.pop("fp16", None)
    command = generate_command(
        evaluation.data.folder, evaluation.checkpoint, task=evaluation.model.task, flags=flags, split=evaluation.split
    )
    nat_plugin.register()
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    for name in ("fairseq", "hydra"):  # what they load, and how, would tear the progress bar
        logging.getLogger(name).setLevel(logging.WARNING)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parser = options.get_generation_parser()
            parsed = options.parse_args_and_arch(parser, command[1:])
    except SystemExit as error:
        reason = failure_sentence(said.getvalue().splitlines(), int(error.code or 0))
        raise UserError(f"{evaluation.system}: fairseq-generate does not take these flags ({reason}).") from error
    return _quietly(convert_namespace_to_omegaconf, parsed)


def _quietly(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call fairseq without its warnings about its own use of other libraries."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return function(*arguments)


def _seed(seed: int | None) -> None:
    """As fairseq-generate does, for decoding that draws."""
    if seed is not None:
        from fairseq import utils

        np.random.seed(seed)
        utils.set_torch_seed(seed)
