"""The posterior q(z | x, y) of a trained model over pairs of sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from nat_plugin.decoding.latent import has_latent
from nat_plugin.errors import UserError
from scripts.lib.other_targets import with_targets
from scripts.lib.trained import batches, load_split, load_trained


class SentencePosterior(NamedTuple):
    """Of one pair, over the source's tokens in their order, the end marker last.

    Attributes:
        place: the pair's place in its data set, from 0.
        means: [S, D] float32, the posterior's means.
        divergences: [S, D] float32, KL(posterior ‖ prior), nats.
    """

    place: int
    means: np.ndarray
    divergences: np.ndarray


class PosteriorReader:
    """A model with a latent variable, and the split whose sentences it reads.

    Args:
        data: the binarised data folder.
        max_tokens: the most tokens of the longer side that a batch may hold, padding included.
        device: where to compute.

    Raises:
        UserError: checkpoint or data cannot be used, or the model has no latent variable.
    """

    def __init__(self, checkpoint: Path, data: Path, split: str, max_tokens: int, device: torch.device) -> None:
        self._model, _, self._task = load_trained(checkpoint, data, device)
        if not has_latent(self._model):
            raise UserError(
                f"{checkpoint} has no latent variable that could be analysed: name a run that was trained with "
                "--latent-dim, such as one of --arch vae_nat."
            )
        self._device, self._max_tokens, self._split = device, max_tokens, split
        self.dataset = load_split(self._task, split, target_for="for the posterior to read")

    def with_targets(self, targets: Sequence[str], name: str) -> Any:
        """The split with other targets: a data set for :meth:`read`.

        Args:
            targets: subwords joined by spaces, one string a sentence of the split; it may be empty.
            name: what to call them in a message.

        Raises:
            UserError: they are not as many as the sentences.
        """
        return with_targets(self._task, self.dataset, targets, name, self._split)

    def unknown_tokens(self, dataset: Any, indices: Sequence[int]) -> int:
        """How many tokens of these targets the dictionary lacks."""
        unknown = self._task.target_dictionary.unk()
        return sum(int((dataset.tgt[index] == unknown).sum()) for index in indices)

    def source_words(self, index: int) -> list[str]:
        """The source's subwords, without the end marker."""
        dictionary = self._task.source_dictionary
        return [dictionary[token] for token in self.dataset.src[index].tolist() if token != dictionary.eos()]

    def read(self, dataset: Any, indices: Sequence[int] | None = None) -> Iterator[list[SentencePosterior]]:
        """The posteriors of the pairs, batch by batch; which pairs make a batch changes nothing.

        Args:
            dataset: :attr:`dataset`, or what :meth:`with_targets` gives.
            indices: which pairs; all by default.

        Raises:
            UserError: a sentence is longer than the model takes.
        """
        ordered = dataset.ordered_indices()
        if indices is not None:
            ordered = ordered[np.isin(ordered, indices)]
        for sample in batches(dataset, self._split, self._model, self._max_tokens, ordered):
            yield self._read_batch(sample)

    @torch.inference_mode()
    def _read_batch(self, sample: dict[str, Any]) -> list[SentencePosterior]:
        source, lengths, target = (
            tensor.to(self._device)
            for tensor in (sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"], sample["target"])
        )
        encoder_out = self._model.encoder(source, src_lengths=lengths)
        posterior = self._model.latent.posterior(source, target)
        divergences = posterior.divergence(self._model.latent.prior(encoder_out)).cpu().numpy()
        means, real = posterior.mean.cpu().numpy(), (~encoder_out["encoder_padding_mask"][0]).cpu().numpy()
        return [
            SentencePosterior(place, means[row, real[row]], divergences[row, real[row]])
            for row, place in enumerate(sample["id"].tolist())
        ]
