"""A trained model's proxy inputs and proxy targets over a split, drawn by its own training's rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nat_plugin.alignments import slot_log_probs
from nat_plugin.canvas.glancing import FirstPass, Revealing, probabilities_of
from nat_plugin.canvas.lengths import scaled_lengths
from nat_plugin.canvas.proxy_inputs import proxy_input_log_probability
from nat_plugin.decoding.input_sampling import InputSampler, default_confidence, has_input_predictor
from nat_plugin.decoding.output_symbols import OutputSymbols
from nat_plugin.errors import UserError
from nat_plugin.padding import length_mask
from scripts.lib.averaging import load_checkpoint, updates_done
from scripts.lib.other_targets import with_targets
from scripts.lib.trained import batches, build_criterion, load_split, load_trained


@dataclass(frozen=True)
class ProxyBatch:
    """One draw of Z for a batch, on the device of the model; costs are in nats.

    Attributes:
        sample: as fairseq collates it, with ``id`` [B].
        lengths: [B], target tokens of each sentence, and its slots.
        masked: [B, m] bool, Z.
        proxy: [B, m] int64, T: what a masked slot is held against, and what a revealed one shows.
        costs: [B] float64, -log P(T | Z, X): a revealed slot costs nothing where training predicts masks alone.
        input_logits: [B, m], the input predictor's; None where there is none.
        log_q: [B] float64, log Q(Z | T, X).
    """

    sample: dict[str, Any]
    lengths: Tensor
    masked: Tensor
    proxy: Tensor
    costs: Tensor
    input_logits: Tensor | None
    log_q: Tensor


class ProxyReader:
    """A model, the criterion that it was trained with, and the split whose sentences it reads.

    Everything is as in training but for dropout, label smoothing and the words that ``--decoder-mask-fill bert`` puts
    into masked slots: a ratio that changes has its value of the checkpoint's update.

    Args:
        data: the binarised data folder.
        max_tokens: the most tokens of the longer side that a batch may hold, padding included.
        device: where to compute.
        targets: subwords of other targets, one line a sentence, such as a teacher's translations; with their name.

    Raises:
        UserError: checkpoint or data cannot be used, or MPLE does not cover the model.
    """

    def __init__(
        self,
        checkpoint: Path,
        data: Path,
        split: str,
        *,
        max_tokens: int,
        device: torch.device,
        targets: tuple[Sequence[str], str] | None = None,
    ) -> None:
        self.model, saved, self.task = load_trained(checkpoint, data, device)
        _check_covered(self.model, checkpoint)
        self.criterion = build_criterion(saved.criterion, self.task)
        self.criterion.check_model(self.model)
        self.updates = updates_done(load_checkpoint(checkpoint))
        self.symbols = OutputSymbols(self.task.target_dictionary).to(device)
        self._device, self._max_tokens, self._split = device, max_tokens, split
        self.dataset = load_split(self.task, split, target_for="" if targets else "for the measures to read")
        if targets is not None:
            self.dataset = with_targets(self.task, self.dataset, *targets, split)
        if min(self.dataset.tgt_sizes) < 2:
            raise UserError(f"split '{split}' of {data} has an empty target, which no slot could hold: leave it out.")

    @property
    def revealing(self) -> Revealing:
        """The rule that draws Z."""
        rule: Revealing = self.model.canvas_maker.revealing
        return rule

    def batches(self) -> Iterator[dict[str, Any]]:
        """The sentences of the split, on the device.

        Raises:
            UserError: a sentence is longer than the model takes.
        """
        from fairseq import utils

        for sample in batches(self.dataset, self._split, self.model, self._max_tokens):
            yield utils.move_to_cuda(sample, self._device) if self._device.type == "cuda" else sample

    @torch.no_grad()
    def draw(self, seed: int) -> Iterator[ProxyBatch]:
        """One Z for every sentence; which sentences make a batch changes nothing.

        Args:
            seed: of the masks, which depend on it, on the sentence's place and on nothing else.
        """
        for sample in self.batches():
            yield self._draw(sample, seed)

    def _draw(self, sample: dict[str, Any], seed: int) -> ProxyBatch:
        from nat_plugin.criterions.base import target_batch
        from nat_plugin.models.nat_transformer import NatOutput

        model, maker = self.model, self.model.canvas_maker
        targets = target_batch(sample["target"], self.symbols.pad)
        lengths, width = targets.lengths, targets.tokens.size(1)
        encoder_out = self._encode(sample)
        first = None
        if maker.has_first_pass:
            first = self._first_pass(targets, encoder_out)
        shown = targets.tokens if first is None else first.proxy
        masked = self.revealing.masked(lengths, width, first, seed=seed, update=self.updates, sentence_ids=sample["id"])
        logits = model.decode_canvas(shown.masked_fill(masked, self.symbols.mask), lengths, encoder_out)
        output = NatOutput(logits, masked, lengths, proxy=None if first is None else first.proxy)
        proxy = torch.where(masked, self.criterion.proxy_of(output, targets), shown)
        paid = masked if self.criterion.cfg.predict == "masks" else length_mask(lengths, width)
        lprobs = slot_log_probs(logits, proxy.unsqueeze(2), lengths).of_tokens.squeeze(2)
        predicts = has_input_predictor(model)
        log_q = torch.zeros(len(lengths), dtype=torch.float64, device=lengths.device)
        if predicts:
            log_q = proxy_input_log_probability(self.revealing, masked, lengths, first, self.updates)
        return ProxyBatch(
            sample=sample,
            lengths=lengths,
            masked=masked,
            proxy=proxy,
            costs=-lprobs.to(torch.float64).masked_fill(~paid, 0.0).sum(1),
            input_logits=model.input_logits(lengths, width, encoder_out) if predicts else None,
            log_q=log_q,
        )

    def _first_pass(self, targets: Any, encoder_out: dict[str, Any]) -> FirstPass:
        hidden = self.model.canvas_maker.hidden(targets.lengths, targets.tokens.size(1))
        logits = self.model.decode_canvas(hidden.slots, targets.lengths, encoder_out)
        proxy = self.criterion.proxy_targets(targets, logits, targets.lengths)
        return FirstPass(proxy, logits.argmax(2), probabilities_of(logits, proxy))

    @torch.no_grad()
    def confidence(self, sampler: InputSampler | None, length_multiplier: float) -> tuple[float, int]:
        """The decoding confidence I = log P(Z | X) + log P(T | Z, X) of Figure 7, with each sentence's most probable
        length.

        Args:
            sampler: draws Z and shows what its vanilla NAT says; None masks all slots, as default decoding does.
            length_multiplier: λ.

        Returns:
            The sum over the split, nats, and how many slots it is about.
        """
        total, slots = 0.0, 0
        for sample in self.batches():
            source, source_lengths = sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"]
            encoder_out = self._encode(sample)
            lengths = self.model.candidate_lengths(encoder_out, 1)[:, 0]
            lengths = scaled_lengths(lengths, length_multiplier, self.model.max_slots)
            if sampler is None:
                filled = default_confidence(self.model, lengths, encoder_out, self.symbols)
            else:
                filled = sampler.of_batch(self.model, source, source_lengths, self.symbols)(lengths, encoder_out)
            real = length_mask(lengths, filled.scores.size(1))
            total += float(filled.scores.double().masked_fill(~real, 0.0).sum())
            slots += int(lengths.sum())
        return total, slots

    def words(self, tokens: Tensor) -> str:
        """Token ids as fairseq-generate prints them: without ε and other symbols that are no text."""
        dropped = set(self.symbols.dropped.tolist())
        said: str = self.task.target_dictionary.string(tokens, None, extra_symbols_to_ignore=dropped)
        return said.strip()

    def _encode(self, sample: dict[str, Any]) -> dict[str, Any]:
        encoder_out: dict[str, Any] = self.model.encode(
            sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"]
        )
        return encoder_out


def _check_covered(model: Any, checkpoint: Path) -> None:
    if not hasattr(model, "decode_canvas"):
        raise UserError(f"{checkpoint} is not of this plugin's non-autoregressive models: measure one of those.")
    if model.latent is not None:
        raise UserError(
            f"{checkpoint} has a latent variable, whose part in L_input is another one (Huang et al. 2022, E.7): "
            "measure a model without --latent-dim."
        )
    if model.upsamples:
        raise UserError(
            f"{checkpoint} has --upsample-scale: its loss sums over all paths, and MPLE does not cover that (Huang et "
            "al. 2022, footnote 7): measure models with one slot a token."
        )
