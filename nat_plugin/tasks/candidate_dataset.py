"""Training pairs whose source has several targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from fairseq.data import BaseWrapperDataset, data_utils

from nat_plugin.tasks.candidate_options import CandidateOptions


class CandidateDataset(BaseWrapperDataset):
    """fairseq's pairs, whose batches have ``candidates`` beside their own target.

    These are the fields of :class:`nat_plugin.models.target_choice.TargetCandidates`; the regulariser in double
    precision, as fairseq turns single precision into half. A pair is as long as its longest candidate, for batching and
    for what is too long.

    Args:
        dataset: a ``LanguagePairDataset``; it is changed.
        texts: fairseq's data sets of the K candidates, the pairs' own target among them.
        bleu: [N, K, K], S(Γ_i, T_k); None where β is 0.
        options: γ, β and the kind of cost.
    """

    def __init__(self, dataset: Any, texts: Sequence[Any], bleu: np.ndarray | None, options: CandidateOptions) -> None:
        super().__init__(dataset)
        self.texts = texts
        self.bleu = bleu
        self.options = options
        dataset.tgt_sizes = np.max([np.asarray(text.sizes) for text in texts], axis=0)
        dataset.sizes = np.stack([dataset.src_sizes, dataset.tgt_sizes], axis=1)

    def __getitem__(self, index: int) -> dict[str, Any]:
        pair: dict[str, Any] = super().__getitem__(index)
        return {**pair, "candidates": [text[index] for text in self.texts]}

    def num_tokens_vec(self, indices: np.ndarray) -> np.ndarray:
        sizes: np.ndarray = self.dataset.num_tokens_vec(indices)
        return sizes

    def collater(self, samples: list[dict[str, Any]], pad_to_length: Any = None) -> dict[str, Any]:
        batch: dict[str, Any] = self.dataset.collater(samples, pad_to_length=pad_to_length)
        if not batch:
            return batch
        by_id = {sample["id"]: sample["candidates"] for sample in samples}
        order = batch["id"].tolist()  # by source length
        tokens = [candidate[:-1] for number in order for candidate in by_id[number]]
        width = self.dataset.pad_to_multiple
        padded = data_utils.collate_tokens(tokens, self.dataset.tgt_dict.pad(), pad_to_multiple=width)
        lengths = torch.tensor([len(candidate) for candidate in tokens])
        batch["candidates"] = {
            "tokens": padded.view(len(order), len(self.texts), -1),
            "lengths": lengths.view(len(order), -1),
            "regulariser": None if self.bleu is None else self._regulariser(order),
            "per_token": self.options.per_token,
        }
        return batch

    def _regulariser(self, order: list[int]) -> torch.Tensor:
        assert self.bleu is not None
        weights = np.asarray(self.options.weights)[None, :, None]
        bleu = np.asarray(self.bleu[order], dtype=np.float64)
        return torch.from_numpy(self.options.bleu_factor * (weights * bleu).sum(1))
