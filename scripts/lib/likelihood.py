"""What the sentences of a split cost under a trained model, where the number of their tokens is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from nat_plugin.analysis.total_correlation import sentence_costs
from nat_plugin.decoding.latent import has_latent
from nat_plugin.errors import UserError
from nat_plugin.model_kinds import is_autoregressive
from nat_plugin.symbols import word_ids
from scripts.lib.trained import batches, load_split, load_trained


class SplitCosts(NamedTuple):
    """Of every sentence of a split, in its order.

    Attributes:
        costs: [S] float64, nats; see :func:`nat_plugin.analysis.total_correlation.sentence_costs`.
        lengths: [S] int64, tokens without the end marker.
    """

    costs: Tensor
    lengths: Tensor

    @property
    def log_likelihood(self) -> float:
        """log P a token, nats."""
        return float(-self.costs.sum() / self.lengths.sum())


class LikelihoodReader:
    """A model, and the split whose sentences it is to give a probability.

    An autoregressive model reads the target before each token (teacher forcing). A non-autoregressive one gets a canvas
    of the target's length that shows nothing of it, whatever it saw in training; and an end marker is no token, for
    either (:func:`nat_plugin.analysis.total_correlation.sentence_costs`).

    Args:
        data: the binarised data folder.
        max_tokens: the most tokens of the longer side that a batch may hold, padding included.
        device: where to compute.
        sentences: read the first so many of the split; all by default.

    Raises:
        UserError: checkpoint or data cannot be used, or the model gives targets no such probability.
    """

    def __init__(
        self,
        checkpoint: Path,
        data: Path,
        split: str,
        *,
        max_tokens: int,
        device: torch.device,
        sentences: int | None = None,
    ) -> None:
        self.model, self.saved, self.task = load_trained(checkpoint, data, device)
        self.autoregressive = is_autoregressive(self.model)
        _check_model(self.model, checkpoint, self.autoregressive)
        self._split, self._device = split, device
        self._max_tokens, self._sentences = max_tokens, sentences
        self.dataset = load_split(self.task, split, target_for="to give a probability")
        dictionary = self.task.target_dictionary
        said = {*word_ids(dictionary), dictionary.unk()}
        self._never = torch.tensor([index for index in range(len(dictionary)) if index not in said], device=device)

    def read(self, description: str = "likelihood") -> SplitCosts:
        """Every sentence; which of them make a batch changes nothing.

        Raises:
            UserError: a sentence is longer than the model takes, or has no target.
        """
        found: dict[int, tuple[float, int]] = {}
        with tqdm(total=self.count, desc=description, unit=" sentences", disable=None, leave=False) as progress:
            for sample in self._batches():
                costs, lengths = self._costs(sample)
                pairs = zip(costs.tolist(), lengths.tolist(), strict=True)
                found |= dict(zip(sample["id"].tolist(), pairs, strict=True))
                progress.update(len(found) - progress.n)
        ordered = [found[place] for place in range(self.count)]
        return SplitCosts(
            torch.tensor([cost for cost, _ in ordered], dtype=torch.float64),
            torch.tensor([length for _, length in ordered]),
        )

    @property
    def count(self) -> int:
        """Sentences that are read."""
        return len(self.dataset) if self._sentences is None else min(self._sentences, len(self.dataset))

    def _batches(self) -> Iterator[dict[str, Any]]:
        empty = [place for place in range(self.count) if self.dataset.tgt_sizes[place] < 2]
        if empty:
            raise UserError(
                f"sentence {empty[0] + 1} of split '{self._split}' has no target: leave it out of the data."
            )
        indices = self.dataset.ordered_indices()
        return batches(self.dataset, self._split, self.model, self._max_tokens, indices[indices < self.count])

    @torch.inference_mode()
    def _costs(self, sample: dict[str, Any]) -> tuple[Tensor, Tensor]:
        source = {name: tensor.to(self._device) for name, tensor in sample["net_input"].items()}
        target = sample["target"].to(self._device)
        lengths = target.ne(self.task.target_dictionary.pad()).sum(1) - 1
        tokens = target[:, :-1]
        if self.autoregressive:
            logits = self.model(**source)[0][:, :-1]
        else:
            encoder_out = self.model.encode(source["src_tokens"], source["src_lengths"])
            hidden = torch.full_like(tokens, self.task.mask_idx)
            logits = self.model.decode_canvas(hidden, lengths, encoder_out)
        return sentence_costs(logits, tokens, lengths, self._never).cpu(), lengths.cpu()


def _check_model(model: Any, checkpoint: Path, autoregressive: bool) -> None:
    """Refuse a model that does not give each token of a target of known length a probability of its own."""
    why = ""
    if not autoregressive and not hasattr(model, "decode_canvas"):
        why = "it is neither autoregressive nor one of this plugin's models"
    elif getattr(model, "upsamples", False):
        why = "a CTC model has no slot for each target token"
    elif not autoregressive and has_latent(model):
        why = "its tokens depend on a latent variable, over which one would have to sum"
    elif getattr(model.decoder, "adaptive_softmax", None) is not None:
        why = "it has no logits over the whole vocabulary (--adaptive-softmax-cutoff)"
    if why:
        raise UserError(
            f"{checkpoint} gives the tokens of a target no probabilities that could be multiplied, because {why}: name "
            "an autoregressive run, or a NAT with a slot a token."
        )
