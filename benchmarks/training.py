"""A model, a batch and an optimizer, and a training step with any criterion on them."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable
from typing import Any, NamedTuple, Optional

import torch
from fairseq import utils
from fairseq.criterions import CRITERION_DATACLASS_REGISTRY, CRITERION_REGISTRY
from fairseq.criterions.label_smoothed_cross_entropy import label_smoothed_nll_loss
from fairseq.data import Dictionary
from fairseq.dataclass.utils import merge_with_parent
from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_DATACLASS_REGISTRY
from fairseq.optim.adam import Adam
from omegaconf import OmegaConf
from torch import Tensor

import nat_plugin

nat_plugin.register()

from benchmarks.losses import LABEL_SMOOTHING
from nat_plugin.alignments.backends import VARIABLE
from nat_plugin.criterions.base import NatCriterion, NatCriterionConfig, TargetBatch, WordLoss
from nat_plugin.errors import UserError
from nat_plugin.tasks.dictionaries import add_special_symbols

_MOST_POSITIONS = 1024


class FairseqCrossEntropy(NatCriterion):
    """The baseline: fairseq's label-smoothed cross entropy in the place of the word loss, else as ours.

    It is computed over all slots, those that the decoder sees being padding to it.
    """

    def word_loss(self, output: Any, targets: TargetBatch) -> WordLoss:
        words = targets.tokens.masked_fill(~output.masked, self.padding_idx)
        return self._costs(output.logits.flatten(0, 1), words.flatten(), output.masked)

    def _costs(self, logits: Tensor, words: Tensor, masked: Tensor) -> WordLoss:
        lprobs = utils.log_softmax(logits, dim=-1)
        total, _ = label_smoothed_nll_loss(lprobs, words, self.cfg.label_smoothing, ignore_index=self.padding_idx)
        units = masked.sum(1)
        # the sum of all sentences, in as many parts as there are sentences
        return WordLoss((total / units.numel()).expand(units.numel()), units, {})


class FairseqMaskedCrossEntropy(FairseqCrossEntropy):
    """The same over the masked slots alone, cut out of the logits first, as fairseq's ``nat_loss`` does."""

    def word_loss(self, output: Any, targets: TargetBatch) -> WordLoss:
        return self._costs(output.logits[output.masked], targets.tokens[output.masked], output.masked)


class Criterion(NamedTuple):
    """Attributes:
    title: its name in tables.
    ours: whether it has backends.
    """

    title: str
    ours: bool


BASELINE = "fairseq_cross_entropy"
CRITERIONS = {
    BASELINE: Criterion("fairseq's cross entropy", False),
    "fairseq_masked_cross_entropy": Criterion("fairseq's cross entropy, masked slots cut out", False),
    "nat_axe": Criterion("AXE (`nat_axe`)", True),
    "nat_cross_entropy": Criterion("cross entropy (`nat_cross_entropy`)", True),
}


class Training:
    """Everything that a step needs, the same for every criterion.

    Args:
        arch: a preset of nat_plugin.
        vocabulary: of one dictionary for both sides, symbols included.
        batch, length: sentences, and tokens of each on either side.
        masking: ``uniform``, ``full`` or ``glancing``.
        device: ``cpu`` or ``cuda``.

    Raises:
        UserError: no such preset, or a vocabulary without words.
    """

    def __init__(self, arch: str, vocabulary: int, batch: int, length: int, masking: str, device: str) -> None:
        if arch not in ARCH_MODEL_REGISTRY or not arch.startswith(("cmlm", "glat")):
            raise UserError(f"--arch {arch} is no CMLM or GLAT preset of nat_plugin: use cmlm_base, glat_base, …")
        self.dictionary = made_up_dictionary(vocabulary)
        self.task = Namespace(
            source_dictionary=self.dictionary,
            target_dictionary=self.dictionary,
            mask_idx=len(self.dictionary) - 2,
            blank_idx=len(self.dictionary) - 1,
            candidate_options=None,
        )
        self.arch, self.masking, self.device = arch, masking, device
        torch.manual_seed(1)
        settings = {"masking": masking, "max_source_positions": _MOST_POSITIONS, "seed": 1, "_name": arch}
        defaults = OmegaConf.structured(MODEL_DATACLASS_REGISTRY[arch])
        config = OmegaConf.merge(defaults, settings, {"max_target_positions": _MOST_POSITIONS})
        self.model = ARCH_MODEL_REGISTRY[arch].build_model(config, self.task).to(device).train()
        self.optimizer = Adam(self.model.parameters(), lr=1e-5, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01)
        self.sample = self._sample(batch, length)

    def step(self, name: str, backend: Optional[str]) -> Callable[[], None]:
        """A training step: forward, loss, backward, optimizer.

        Args:
            name: a key of :data:`CRITERIONS`.
            backend: of the alignments; None leaves it to them.
        """
        criterion = self._criterion(name)
        count = 0

        def run() -> None:
            nonlocal count
            count += 1  # other masks and dropout at each step, the same for every criterion
            torch.manual_seed(count)
            self.model.set_num_updates(count)
            if backend:
                os.environ[VARIABLE] = backend
            else:
                os.environ.pop(VARIABLE, None)
            loss, units, _ = criterion(self.model, self.sample)
            (loss / units).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()

        return run

    def logits_bytes(self) -> int:
        """Size of the model's output."""
        return int(self.sample["target"][:, :-1].numel()) * len(self.dictionary) * 4

    def describe(self) -> str:
        """One line for people."""
        batch, width = self.sample["target"].shape
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        return (
            f"{self.arch}, {parameters / 1e6:.1f} M parameters, V = {len(self.dictionary)}, {batch} sentences of "
            f"{width - 1} tokens on each side, --masking {self.masking}, label smoothing {LABEL_SMOOTHING:g}, float32, "
            "Adam"
        )

    def _criterion(self, name: str) -> Any:
        own = {BASELINE: FairseqCrossEntropy, "fairseq_masked_cross_entropy": FairseqMaskedCrossEntropy}
        chosen = own.get(name) or CRITERION_REGISTRY[name]
        defaults = NatCriterionConfig() if name in own else CRITERION_DATACLASS_REGISTRY[name]()
        config = merge_with_parent(defaults, OmegaConf.create({"_name": name, "label_smoothing": LABEL_SMOOTHING}))
        return chosen.build_criterion(config, self.task)

    def _sample(self, batch: int, length: int) -> dict[str, Any]:
        words = torch.randint(self.dictionary.nspecial, self.task.mask_idx, (2, batch, length + 1))
        words[:, :, -1] = self.dictionary.eos()
        source, target = words.to(self.device)
        lengths = torch.full((batch,), length + 1, device=self.device)
        return {
            "id": torch.arange(batch, device=self.device),
            "net_input": {"src_tokens": source, "src_lengths": lengths},
            "target": target,
        }


def made_up_dictionary(vocabulary: int) -> Dictionary:
    """Words w0, w1, … and the special symbols, ``vocabulary`` in all.

    Raises:
        UserError: there are no more than the special symbols.
    """
    made = Dictionary()
    special = len(add_special_symbols(Dictionary()))
    if vocabulary <= special:
        raise UserError(f"--vocabulary {vocabulary} leaves no words: {special} symbols are special.")
    for index in range(vocabulary - special):
        made.add_symbol(f"w{index}")
    return add_special_symbols(made)
