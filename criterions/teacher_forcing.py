"""What the criterions for autoregressive models share: latent alignments under teacher forcing (Haviv et al. 2021)."""

# No `from __future__ import annotations` here: fairseq's dataclass parser needs types, not strings.
import logging
from dataclasses import dataclass, field
from typing import Any, Dict, Tuple

import torch
from fairseq.dataclass import FairseqDataclass
from torch import Tensor

from nat_plugin.criterions.common import AlignmentCriterion, AlignmentCriterionConfig, TargetBatch, WordLoss
from nat_plugin.errors import UserError
from nat_plugin.model_kinds import is_autoregressive
from nat_plugin.symbols import BLANK

logger = logging.getLogger(__name__)


@dataclass
class KnownToDegenerate(FairseqDataclass):
    """The option of a criterion with which an autoregressive model degenerates."""

    expect_degeneration: bool = field(
        default=False,
        metadata={"help": "no warning that such a model learns to translate into nothing: that is what is to be shown"},
    )


class TeacherForcingCriterion(AlignmentCriterion):
    """Base class: subclasses define :meth:`sequence_loss` over an ordinary model's predictions.

    The target has its end of sentence, as in the paper's figures: there are n targets, the last of them ``</s>``, and n
    predictions, of which number j is made from the source and the targets before j.
    """

    non_autoregressive: str = ""
    """The same loss for non-autoregressive models, to be named in a message."""

    copies: int = 1
    """How often each target token is fed to the decoder, and so how many predictions there are for each."""

    def __init__(self, cfg: AlignmentCriterionConfig, task: Any) -> None:
        dictionary = task.target_dictionary
        blank_idx = dictionary.index(BLANK)
        if blank_idx == dictionary.unk():
            raise UserError(
                f"--criterion {cfg._name} needs {BLANK} in the target dictionary: binarise with scripts/prepare.py, or "
                "with fairseq-preprocess --user-dir nat_plugin --task nat_translation."
            )
        if getattr(task.cfg, "left_pad_target", False):
            raise UserError(f"--criterion {cfg._name} needs targets padded on the right: drop --left-pad-target.")
        super().__init__(cfg, task, blank_idx)

    def check_model(self, model: Any) -> None:
        """Called before the training; warns of what is known to go wrong.

        Raises:
            UserError: the model is not autoregressive, or has no logits over the whole vocabulary.
        """
        name = self.cfg._name
        if not is_autoregressive(model):
            raise UserError(
                f"--criterion {name} trains autoregressive models such as --arch transformer: use --criterion "
                f"{self.non_autoregressive} for a non-autoregressive one."
            )
        if getattr(model.decoder, "adaptive_softmax", None) is not None:
            raise UserError(f"--criterion {name} needs the whole vocabulary's logits: drop --adaptive-softmax-cutoff.")
        warning = self.known_failure()
        if warning and not (torch.distributed.is_initialized() and torch.distributed.get_rank()):
            logger.warning("%s", warning)

    def known_failure(self) -> str:
        """One sentence on what is known to go wrong with this loss; empty for nothing."""
        return ""

    def sequence_loss(self, logits: Tensor, targets: TargetBatch) -> WordLoss:
        """The cost of each sentence, given the logits [B, copies · n, V] of its predictions."""
        raise NotImplementedError

    def predict(self, model: Any, sample: Dict[str, Any]) -> Tuple[TargetBatch, Tensor, Tensor]:
        """The targets of a batch, what the decoder is fed [B, copies · n], and its logits [B, copies · n, V].

        Raises:
            UserError: fed several times the target is longer than the model's learned positions.
        """
        tokens = sample["target"]
        net_input = dict(sample["net_input"])
        if self.copies > 1:
            net_input["prev_output_tokens"] = net_input["prev_output_tokens"].repeat_interleave(self.copies, 1)
            self._check_positions(model, net_input["prev_output_tokens"].size(1))
        logits, _ = model(**net_input)
        lengths = tokens.ne(self.padding_idx).sum(1)
        return TargetBatch(tokens, lengths), net_input["prev_output_tokens"], logits

    def forward(self, model: Any, sample: Dict[str, Any], reduce: bool = True) -> Tuple[Tensor, Tensor, Dict[str, Any]]:
        """Loss, sample size and log of one micro-batch, as fairseq wants them."""
        targets, _, logits = self.predict(model, sample)
        words = self.sequence_loss(logits, targets)
        sample_size = words.units.sum()
        log = {
            "loss": words.costs.detach().sum(),
            "ntokens": targets.lengths.sum().float(),
            "nsentences": float(targets.lengths.numel()),
            "sample_size": sample_size.detach().float(),
            **{key: words.statistics[key].detach().float() for key in self.statistics},
        }
        return (words.costs.sum() if reduce else words.costs), sample_size, log

    def _check_positions(self, model: Any, width: int) -> None:
        decoder = getattr(getattr(model, "module", model), "decoder", None)  # legacy_ddp and DDP wrap the model
        positions = getattr(decoder, "embed_positions", None)
        limit = getattr(positions, "max_positions", None)  # sinusoids grow with the sentence, learned positions do not
        if isinstance(positions, torch.nn.Embedding) and limit is not None and width > limit:
            raise UserError(
                f"a target fed {self.copies} times has {width} tokens, and the model {limit} learned positions: raise "
                "--max-target-positions, or leave out the longest sentences."
            )
