"""BLEU of one system under one kind of noise after the other."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nat_plugin.analysis.state_noise import PLACES, StateNoise, state_noise
from nat_plugin.analysis.word_noise import WORD_NOISES, WordNoise, disturb_words
from nat_plugin.canvas.random import sentence_hash
from nat_plugin.symbols import word_ids
from scripts.lib.generation import displayed_path
from scripts.lib.in_process import SplitTranslator
from scripts.lib.points import PointStore, file_state

NOISES: tuple[str, ...] = (*PLACES, *WORD_NOISES)
CLEAN = "clean"


@dataclass(frozen=True)
class Condition:
    """One point of a curve, before the draws.

    Attributes:
        noise: one of :data:`NOISES`.
        rate: share of the positions or words, 0 to 1.
        strength: of noise in place of vectors; None for words.
    """

    noise: str
    rate: float
    strength: float | None = None

    def name(self, seed: int) -> str:
        """What the point is called in the file of points."""
        strength = "" if self.strength is None else f" strength {self.strength:g}"
        return f"{self.noise}{strength} rate {self.rate:g} seed {seed}"


class NoisySystem:
    """A system, and the file of its measured points.

    Args:
        translator: the system.
        points: the file.
    """

    def __init__(self, translator: SplitTranslator, points: Path) -> None:
        self._translator = translator
        evaluation = translator.evaluation
        self._store = PointStore(
            points,
            {
                "checkpoint": [displayed_path(evaluation.checkpoint), file_state(evaluation.checkpoint)],
                "data": [displayed_path(evaluation.data.folder), file_state(evaluation.data.folder / "prepare.json")],
                "split": evaluation.split,
                "sentences": translator.sentences,
                "decoding": evaluation.flags,
            },
        )
        self._task, self._split = translator.translator.task, evaluation.split

    @property
    def fills_canvases(self) -> bool:
        """Whether there is a canvas that can be disturbed."""
        return hasattr(self._translator.model, "decode_canvas")

    def clean(self) -> dict[str, Any]:
        """The scores without noise."""
        return self._store.get(CLEAN, self._translator.scores)

    def scores(self, condition: Condition, seed: int) -> dict[str, Any]:
        """The scores under noise; those of a rate of 0 are the clean ones."""
        if condition.rate == 0:
            return self.clean()
        return self._store.get(condition.name(seed), lambda: self._measure(condition, seed))

    def _measure(self, condition: Condition, seed: int) -> dict[str, Any]:
        for place in PLACES:
            if condition.noise == place:
                noise = StateNoise(place, condition.rate, condition.strength or 0.0, seed)
                with state_noise(self._translator.model, noise):
                    return self._translator.scores()
        [words] = [kind for kind in WORD_NOISES if kind == condition.noise]
        with self._disturbed_words(words, condition.rate, seed):
            return self._translator.scores()

    @contextmanager
    def _disturbed_words(self, noise: WordNoise, rate: float, seed: int) -> Iterator[None]:
        """Within the context the split's source sentences are others."""
        clean = self._task.datasets[self._split]
        self._task.datasets[self._split] = disturbed_dataset(clean, noise, rate, seed)
        try:
            yield
        finally:
            self._task.datasets[self._split] = clean


def disturbed_dataset(dataset: Any, noise: WordNoise, rate: float, seed: int) -> Any:
    """fairseq's data set of sentence pairs with words of its sources dropped or replaced; see
    :mod:`nat_plugin.analysis.word_noise`."""
    from fairseq.data.data_utils import collate_tokens

    dictionary = dataset.src_dict
    sentences = [dataset.src[index] for index in range(len(dataset))]
    tokens = collate_tokens(sentences, dictionary.pad(), left_pad=False).long()
    real = tokens.ne(dictionary.pad())
    changed, kept = disturb_words(
        tokens,
        real & tokens.ne(dictionary.eos()) & tokens.ne(dictionary.bos()),
        rate,
        noise,
        vocabulary=torch.tensor(word_ids(dictionary)),
        seed=seed,
        draw=0,
        sentence_ids=sentence_hash(tokens, real),
    )
    made = copy.copy(dataset)
    made.src = [row[wanted] for row, wanted in zip(changed, kept & real, strict=True)]
    made.src_sizes = np.array([len(sentence) for sentence in made.src])
    made.sizes = made.src_sizes if dataset.tgt_sizes is None else np.vstack((made.src_sizes, dataset.tgt_sizes)).T
    return made
