"""Translating a split in this process and scoring it: for analyses that translate it many times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from tqdm import tqdm

from scripts.lib.evaluation import Evaluation
from scripts.lib.latency.translator import Sample, Translator, generation_config

SCORES = ("bleu", "tokenized_bleu", "repetitions_per_sentence", "length_ratio", "empty_outputs")
"""What is kept of :class:`scripts.lib.scoring.Scores` unless told otherwise."""


class SplitTranslator:
    """One system, loaded as fairseq-generate loads it, and the sentences that it translates.

    Args:
        evaluation: the system, its decoding and its data.
        sentences: take the first so many of the split; all by default.
        max_tokens: the most tokens of a batch, padding included; raised to the longest sentence.

    Raises:
        UserError: fairseq does not take the flags, or checkpoint or data cannot be used.
    """

    def __init__(self, evaluation: Evaluation, *, sentences: int | None = None, max_tokens: int = 4096) -> None:
        self.evaluation = replace(
            evaluation,
            sources=evaluation.sources[:sentences],
            references=[lines[:sentences] for lines in evaluation.references],
            tokenized_references=[lines[:sentences] for lines in evaluation.tokenized_references],
        )
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.translator = Translator(generation_config(evaluation, self.device), self.device, sentences)
        self._max_tokens = max_tokens

    @property
    def model(self) -> Any:
        """The model itself."""
        return self.translator.models[0]

    @property
    def sentences(self) -> int:
        return len(self.evaluation.sources)

    def batches(self) -> list[Sample]:
        """Every sentence, in batches as large as allowed.

        Raises:
            UserError: a sentence is too long for the model.
        """
        return self.translator.batches(max(self._max_tokens, self.translator.longest))

    def translations(self, *, show_progress: bool = False) -> list[str]:
        """Translate every sentence: tokens as the model writes them, in the order of the split."""
        found: dict[int, str] = {}
        hidden = None if show_progress else True
        with tqdm(total=self.sentences, desc=self.evaluation.system, unit=" sentences", disable=hidden) as progress:
            for sample in self.batches():
                said = self.translator.translate(sample)
                for place, tokens in zip(sample["id"].tolist(), said, strict=True):
                    found[place] = self.translator.words(tokens)
                progress.update(len(said))
        return [found[place] for place in range(self.sentences)]

    def scores(self, names: Sequence[str] = SCORES) -> dict[str, Any]:
        """Translate every sentence: the named figures of :class:`scripts.lib.scoring.Scores`."""
        _, scores = self.evaluation.score(self.translations())
        return {name: asdict(scores)[name] for name in names}
