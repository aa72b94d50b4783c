"""What the sentences of a split cost under a trained model, where the number of their tokens is known."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

import nat_plugin
from nat_plugin.analysis.total_correlation import sentence_costs
from nat_plugin.decoding.latent import has_latent
from nat_plugin.errors import UserError
from nat_plugin.model_kinds import is_autoregressive
from nat_plugin.symbols import word_ids


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
        nat_plugin.register()
        from fairseq import checkpoint_utils

        for name in ("fairseq", "hydra", "nat_plugin"):  # what they load, and how, would tear the progress bar
            logging.getLogger(name).setLevel(logging.WARNING)
        [self.model], self.saved, self.task = checkpoint_utils.load_model_ensemble_and_task(
            [str(checkpoint)], arg_overrides={"data": str(data)}
        )
        self.autoregressive = is_autoregressive(self.model)
        _check_model(self.model, checkpoint, self.autoregressive)
        self.model.to(device).eval()
        self._checkpoint, self._split, self._device = checkpoint, split, device
        self._max_tokens, self._sentences = max_tokens, sentences
        try:
            self.task.load_dataset(split)
        except FileNotFoundError as error:  # fairseq's own task has no sentence for it
            raise UserError(f"there is no binarised split '{split}' in {data}: choose another --split.") from error
        self.dataset = self.task.dataset(split)
        if self.dataset.tgt is None:
            raise UserError(f"split '{split}' of {data} has no target side to give a probability: binarise it.")
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
        indices = self.dataset.ordered_indices()
        indices = indices[indices < self.count]
        kept, too_long = self.dataset.filter_indices_by_size(indices, self.model.max_positions())
        empty = [place for place in range(self.count) if self.dataset.tgt_sizes[place] < 2]
        if len(too_long) or empty:
            what = "has no target" if empty else f"is longer than {self._checkpoint} takes"
            raise UserError(
                f"sentence {min([*empty, *too_long]) + 1} of split '{self._split}' {what}: leave it out of the data."
            )
        for batch in self.dataset.batch_by_size(kept, self._max_tokens, None, required_batch_size_multiple=1):
            yield self.dataset.collater([self.dataset[index] for index in batch])

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
