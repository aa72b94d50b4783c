"""What every non-autoregressive criterion shares: the batch, the length loss, exact normalisation and logging."""

# No `from __future__ import annotations` here: fairseq's dataclass parser needs types, not strings.
import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Dict, Tuple

import torch
from fairseq.logging import metrics
from torch import Tensor

from nat_plugin.criterions.common import (
    AlignedBatch,
    AlignmentCriterion,
    AlignmentCriterionConfig,
    TargetBatch,
    WordLoss,
    log_cost,
)
from nat_plugin.criterions.encoder_prediction import encoder_log, encoder_loss, reduce_encoder
from nat_plugin.criterions.input_prediction import input_log, input_loss, reduce_input
from nat_plugin.criterions.latent import latent_log, reduce_latent
from nat_plugin.criterions.target_choice import candidate_count, choice_log, reduce_choice
from nat_plugin.errors import UserError
from nat_plugin.padding import length_mask


class Predict(str, Enum):
    """What the word loss is about."""

    masks = "masks"
    all = "all"


@dataclass
class NatCriterionConfig(AlignmentCriterionConfig):
    """Options of every non-autoregressive criterion."""

    length_loss_weight: float = field(default=0.1, metadata={"help": "weight of the length loss, one term a sentence"})
    kl_weight: float = field(
        default=1.0, metadata={"help": "weight of a latent variable's KL, a mean over source positions (--latent-dim)"}
    )
    encoder_loss_factor: float = field(
        default=0.01,
        metadata={"help": "α1, weight of what the encoder pays for its masked tokens, summed (--encoder-mask-prob)"},
    )
    input_loss_factor: float = field(
        default=1.0,
        metadata={
            "help": "weight of what the input predictor pays for the masks, summed over slots (--input-predictor)"
        },
    )
    predict: Predict = field(
        default=Predict.masks,
        metadata={"help": "masked slots, or all (Ghazvininejad et al. 2020, §3.3); for nat_ctc it is always all"},
    )


def target_batch(target: Tensor, pad_idx: int) -> TargetBatch:
    """Split fairseq's ``sample["target"]`` (right-padded, with end of sentence) into tokens and lengths."""
    lengths = target.ne(pad_idx).sum(1) - 1
    tokens = target[:, :-1] if target.size(1) > 1 else torch.full_like(target, pad_idx)
    return TargetBatch(tokens.masked_fill(~length_mask(lengths, tokens.size(1)), pad_idx), lengths)


class NatCriterion(AlignmentCriterion):
    """Base class: subclasses define :meth:`word_loss`.

    The loss returned is Σ_s (cost_s + α1 · encoder_cost_s + w_in · input_cost_s + units_s · (w_len · length_cost_s +
    w_kl · kl_cost_s)), with sample size Σ_s units_s: every target token weighs the same however the batch is cut; what
    the encoder and the input predictor pay is a sum over tokens as the words' cost is; and the length loss and the
    latent variable's KL, one term a sentence each, are weighted so that they stay exact.
    """

    upsampled: bool = False
    """Whether the canvas has s × source length slots (``--upsample-scale``), or one slot a target token."""

    autoregressive: str = ""
    """What trains an autoregressive model with the same loss, to be named in a message."""

    def __init__(self, cfg: NatCriterionConfig, task: Any) -> None:
        if not hasattr(task, "blank_idx"):
            raise UserError(
                f"--criterion {cfg._name} trains non-autoregressive models: use it with --task nat_translation and "
                "--arch cmlm or another of ours"
                f"{self.autoregressive and ', or train an autoregressive one with --criterion '}{self.autoregressive}."
            )
        super().__init__(cfg, task, task.blank_idx)
        self.mask_idx = task.mask_idx
        self.candidates = candidate_count(task)
        for flag in ("length_loss_weight", "kl_weight", "encoder_loss_factor", "input_loss_factor"):
            if not 0 <= getattr(cfg, flag) < math.inf:
                raise UserError(f"--{flag.replace('_', '-')} must be 0 or more and finite, not {getattr(cfg, flag)}.")

    def check_model(self, model: Any) -> None:
        """Called before the training.

        Raises:
            UserError: the model's canvas is not what this criterion is about.
        """
        if self.upsampled == model.upsamples:
            return
        if self.upsampled:
            raise UserError(
                f"--criterion {self.cfg._name} needs a canvas longer than the target: add --upsample-scale 3 and "
                "--masking full, or use --arch ctc."
            )
        raise UserError(
            f"--criterion {self.cfg._name} needs one slot a target token: drop --upsample-scale, or use --criterion "
            "nat_ctc."
        )

    monotonic: bool = False
    """Whether there is a monotonic alignment of targets and slots: :meth:`aligned`."""

    def aligned(self, output: Any, targets: TargetBatch) -> AlignedBatch:
        """The alignment that the loss of the model's output pays for; for CTC the most probable one.

        Raises:
            UserError: there is none, as :attr:`monotonic` says.
        """
        raise UserError(f"--criterion {self.cfg._name} has no monotonic alignment: choose an AXE or CTC criterion.")

    def align(self, model: Any, sample: Dict[str, Any]) -> AlignedBatch:
        targets, output = self.predict(model, sample)
        return self.aligned(output, targets)

    def proxy_targets(self, targets: TargetBatch, logits: Tensor, lengths: Tensor) -> Tensor:
        """The token that each slot is held against, [B, m] int64: what glancing compares with, and shows.

        Args:
            targets: see :class:`TargetBatch`.
            logits: [B, m, V], of a fully masked canvas; without gradient.
            lengths: [B], slots of each sentence.
        """
        return targets.tokens

    def proxy_of(self, output: Any, targets: TargetBatch) -> Tensor:
        """The token that each masked slot of a pass is held against, [B, m] int64: the proxy target T of Huang et al.
        2022, §E. Beyond the lengths, and in slots that show a token, it means nothing.

        Raises:
            UserError: the loss is about no single sequence.
        """
        return targets.tokens

    def word_loss(self, output: Any, targets: TargetBatch) -> WordLoss:
        """The cost of each sentence's words, given the model's output."""
        raise NotImplementedError

    def predict(self, model: Any, sample: Dict[str, Any]) -> Tuple[TargetBatch, Any]:
        """The targets of a batch, and the model's output over their canvas."""
        targets = target_batch(sample["target"], self.padding_idx)
        own_slots = type(self).proxy_targets is NatCriterion.proxy_targets
        output = model(
            src_tokens=sample["net_input"]["src_tokens"],
            src_lengths=sample["net_input"]["src_lengths"],
            targets=targets.tokens,
            target_lengths=targets.lengths,
            sentence_ids=sample["id"],
            proxy_targets=None if own_slots else self._proxies,
            candidates=sample.get("candidates") if model.training else None,
        )
        return targets if output.chosen is None else TargetBatch(output.chosen.tokens, output.chosen.lengths), output

    def _proxies(self, targets: Tensor, target_lengths: Tensor, logits: Tensor, lengths: Tensor) -> Tensor:
        return self.proxy_targets(TargetBatch(targets, target_lengths), logits, lengths)

    def shown(self, output: Any, targets: TargetBatch) -> Tensor:
        """What the decoder saw in each slot, [B, m] int64: a token or ``<mask>``."""
        width = output.masked.size(1)
        tokens = targets.tokens if output.proxy is None else output.proxy
        padded = torch.nn.functional.pad(tokens, (0, max(0, width - tokens.size(1))), value=self.padding_idx)
        return padded[:, :width].masked_fill(output.masked, self.mask_idx)

    def forward(self, model: Any, sample: Dict[str, Any], reduce: bool = True) -> Tuple[Tensor, Tensor, Dict[str, Any]]:
        """Loss, sample size and log of one micro-batch, as fairseq wants them."""
        targets, output = self.predict(model, sample)
        words = self.word_loss(output, targets)
        length_costs, length_hits = _length_terms(output)
        losses = words.costs if words.added is None else words.costs + words.added
        if length_costs.numel():
            losses = losses + self.cfg.length_loss_weight * words.units * length_costs
        if output.latent is not None:
            losses = losses + self.cfg.kl_weight * words.units * output.latent.costs
        encoder = None
        if output.encoder_prediction is not None:
            encoder = encoder_loss(output.encoder_prediction, words.units > 0)
            losses = losses + self.cfg.encoder_loss_factor * encoder.costs
        masks = None
        if output.input_logits is not None:
            masks = input_loss(output.input_logits, output.masked, output.lengths, words.units > 0)
            losses = losses + self.cfg.input_loss_factor * masks.costs
        sample_size = words.units.sum()
        log = {
            "loss": losses.detach().sum(),
            "word_loss": words.costs.detach().sum(),
            "length_loss": length_costs.detach().sum(),
            "length_hits": length_hits.sum().float(),
            "nlengths": float(length_costs.numel()),
            "ntokens": targets.lengths.sum().float(),
            "nsentences": float(targets.lengths.numel()),
            "sample_size": sample_size.detach().float(),
            **_shown(output),
            **latent_log(output.latent, words.units),
            **encoder_log(encoder),
            **input_log(masks),
            **choice_log(output.chosen, self.candidates),
            **{key: words.statistics[key].detach().float() for key in self.statistics},
        }
        return (losses.sum() if reduce else losses), sample_size, log

    @classmethod
    def reduce_terms(cls, total: Dict[str, float]) -> None:
        """The word loss, the length loss, what the slots showed, and the model's further parts."""
        lengths = total["nlengths"]
        log_cost(total, "word_loss")
        if lengths:
            metrics.log_scalar("length_loss", total["length_loss"] / lengths / math.log(2), lengths, round=3)
            metrics.log_scalar("length_accuracy", total["length_hits"] / lengths, lengths, round=3)
        slots, in_first_pass = total["slots"], total["first_pass_slots"]
        if total["revealed"] or in_first_pass:
            metrics.log_scalar("revealed", total["revealed"] / slots, slots, round=4)
        if in_first_pass:
            metrics.log_scalar("first_pass_accuracy", total["first_pass_hits"] / in_first_pass, in_first_pass, round=4)
        reduce_latent(total)
        reduce_encoder(total)
        reduce_input(total)
        reduce_choice(total)


def _length_terms(output: Any) -> Tuple[Tensor, Tensor]:
    """The length loss of each sentence and whether the length was right: [B] each; [0] where none is predicted."""
    if output.length_logits is None:
        nothing = output.logits.new_zeros(0, dtype=torch.float32)
        return nothing, nothing
    costs = torch.nn.functional.cross_entropy(output.length_logits.float(), output.length_classes, reduction="none")
    return costs, output.length_logits.detach().argmax(1).eq(output.length_classes)


def _shown(output: Any) -> Dict[str, Any]:
    """How many slots there were, how many showed a token, and how many the first pass was asked and knew."""
    slots = output.lengths.sum().float()
    hits = output.first_pass_hits
    return {
        "slots": slots,
        "revealed": slots - output.masked.sum().float(),
        "first_pass_slots": 0.0 if hits is None else slots,
        "first_pass_hits": 0.0 if hits is None else hits.sum().float(),
    }
