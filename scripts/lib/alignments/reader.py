"""The alignments that a criterion chooses for a trained model's predictions, sentence by sentence."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nat_plugin.alignments import AxeAlignment, slot_log_probs
from nat_plugin.analysis.alignment_statistics import ExplainedSentence
from nat_plugin.analysis.monotonic_alignment import MonotonicAlignment, of_axe, of_ctc
from nat_plugin.errors import UserError
from nat_plugin.model_kinds import is_autoregressive
from scripts.lib.trained import batches, build_criterion, load_split, load_trained

TOP = 4
"""Tokens shown of each prediction, as in the paper's figures."""


@dataclass(frozen=True)
class Example:
    """A sentence to be shown.

    Attributes:
        place: in its data set, from 0.
        source, target: tokens; the target of an autoregressive model ends in the end marker.
        inputs: [m], what the decoder is given for each prediction.
        predictions: the most probable tokens of each, with their probabilities.
        explained: its alignment.
    """

    place: int
    source: tuple[str, ...]
    target: tuple[str, ...]
    inputs: tuple[str, ...]
    predictions: tuple[tuple[tuple[str, float], ...], ...]
    explained: ExplainedSentence


class AlignmentReader:
    """A model, a criterion that aligns its predictions, and the split whose sentences it reads.

    Args:
        data: the binarised data folder.
        max_tokens: the most tokens of the longer side that a batch may hold, padding included.
        device: where to compute.
        criterion: which one aligns; by default that of the training, or AXE or CTC for cross entropy.
        skip_target_penalty: AXE's δ; by default that of the training, or 1.

    Raises:
        UserError: checkpoint or data cannot be used, or the criterion cannot align this model's predictions.
    """

    def __init__(
        self,
        checkpoint: Path,
        data: Path,
        split: str,
        *,
        max_tokens: int,
        device: torch.device,
        criterion: str | None = None,
        skip_target_penalty: float | None = None,
    ) -> None:
        self._model, saved, self._task = load_trained(checkpoint, data, device)
        self.criterion = self._build_criterion(saved.criterion, criterion, skip_target_penalty)
        self._device, self._max_tokens, self._split = device, max_tokens, split
        self.unaligned = 0
        """Sentences read that have no alignment: their target does not fit its predictions (CTC)."""
        self.dataset = load_split(self._task, split, target_for="to align with")

    def _build_criterion(self, saved: Any, name: str | None, skip_target_penalty: float | None) -> Any:
        from fairseq.criterions import CRITERION_DATACLASS_REGISTRY, CRITERION_REGISTRY

        name = name or self._own_criterion(saved._name)
        if name not in CRITERION_REGISTRY or not hasattr(CRITERION_REGISTRY[name], "align"):
            raise UserError(f"--criterion {name} aligns nothing: choose axe, causal_axe, ctc_ar, nat_axe or nat_ctc.")
        fields = CRITERION_DATACLASS_REGISTRY[name].__dataclass_fields__
        changes: dict[str, Any] = {}
        if skip_target_penalty is not None:
            if "skip_target_penalty" not in fields:
                raise UserError(f"--skip-target-penalty is AXE's, and --criterion {name} has none: drop it.")
            changes["skip_target_penalty"] = skip_target_penalty
        if "expect_degeneration" in fields:
            changes["expect_degeneration"] = True  # nothing is trained here
        criterion = build_criterion(saved, self._task, name, changes)
        criterion.check_model(self._model)
        return criterion

    def _own_criterion(self, trained_with: str) -> str:
        """The criterion of the training, or what aligns a model that was trained with cross entropy."""
        if is_autoregressive(self._model):
            return trained_with if trained_with in ("axe", "causal_axe", "ctc_ar") else "axe"
        if trained_with in ("nat_axe", "nat_ctc"):
            return trained_with
        return "nat_ctc" if getattr(self._model, "upsamples", False) else "nat_axe"

    @property
    def copies(self) -> int | None:
        """How often the decoder is fed each target token; None where it is not."""
        return getattr(self.criterion, "copies", None)

    def read(self, examples: Collection[int] = ()) -> Iterator[tuple[list[ExplainedSentence], list[Example]]]:
        """The alignments of all sentences, batch by batch; which sentences make a batch changes nothing.

        Args:
            examples: places of the sentences to be shown.

        Raises:
            UserError: a sentence is longer than the model takes, or an example is not there.
        """
        missing = [place + 1 for place in examples if not 0 <= place < len(self.dataset)]
        if missing:
            raise UserError(
                f"there is no sentence {missing[0]} in split '{self._split}', which has {len(self.dataset)}: choose "
                "other --sentences."
            )
        for sample in batches(self.dataset, self._split, self._model, self._max_tokens):
            yield self._read_batch(sample, examples)

    @torch.no_grad()
    def _read_batch(
        self, sample: dict[str, Any], examples: Collection[int]
    ) -> tuple[list[ExplainedSentence], list[Example]]:
        from fairseq import utils

        if self._device.type == "cuda":
            sample = utils.move_to_cuda(sample, self._device)
        batch = self.criterion.align(self._model, sample)
        n = batch.targets.tokens.size(1)
        symbols = torch.nn.functional.pad(batch.targets.tokens, (0, 1), value=self.criterion.blank_idx)
        probabilities = slot_log_probs(batch.logits, symbols, batch.lengths).of_tokens.exp().cpu()
        explained, shown = [], []
        places = sample["id"].tolist()
        for row, alignment in enumerate(self._alignments(batch)):
            if alignment is None:
                self.unaligned += 1
                continue
            columns = [n if step.target is None else step.target for step in alignment.steps]
            of_steps = probabilities[row, [step.slot for step in alignment.steps], columns].tolist()
            sentence = ExplainedSentence(alignment, tuple(of_steps), float(batch.costs[row]))
            explained.append(sentence)
            if places[row] in examples:
                shown.append(self._example(places[row], row, batch, sentence))
        return explained, shown

    def _alignments(self, batch: Any) -> list[MonotonicAlignment] | list[MonotonicAlignment | None]:
        if isinstance(batch.alignment, AxeAlignment):
            return of_axe(batch.alignment, batch.lengths, batch.targets.lengths)
        return of_ctc(batch.alignment, batch.lengths, batch.targets.lengths, self.criterion.blank_idx)

    def _example(self, place: int, row: int, batch: Any, sentence: ExplainedSentence) -> Example:
        source, target = self._task.source_dictionary, self._task.target_dictionary
        alignment = sentence.alignment
        top = batch.logits[row, : alignment.slots].float().softmax(-1).topk(min(TOP, batch.logits.size(2)))
        return Example(
            place=place,
            source=tuple(source[token] for token in self.dataset.src[place].tolist() if token != source.eos()),
            target=tuple(target[token] for token in batch.targets.tokens[row, : alignment.targets].tolist()),
            inputs=tuple(target[token] for token in batch.inputs[row, : alignment.slots].tolist()),
            predictions=tuple(
                tuple((target[token], probability) for token, probability in zip(tokens, values, strict=True))
                for tokens, values in zip(top.indices.tolist(), top.values.tolist(), strict=True)
            ),
            explained=sentence,
        )
