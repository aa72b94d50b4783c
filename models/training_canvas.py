"""What the decoder sees in training, and the first pass that may have to say so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Optional

import torch
from torch import Tensor

from nat_plugin.canvas.glancing import FirstPass, Revealing, probabilities_of
from nat_plugin.models.aside import aside
from nat_plugin.models.word_noise import WordNoise
from nat_plugin.padding import length_mask

SlotProxies = Callable[[Tensor, Tensor], Tensor]
"""From logits [B, m, V] and lengths [B] to the token that each slot is held against, [B, m] int64."""

ProxyTargets = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""The same from targets [B, n] and their lengths [B], logits and lengths: a criterion's."""


class TrainingCanvas(NamedTuple):
    """Attributes:
    slots: [B, m] int64, tokens and ``<mask>``.
    masked: [B, m] bool, the slots that are to be predicted: they hold ``<mask>``, or, with
        ``--decoder-mask-fill bert``, 10 % of them a random word and 10 % what stood there.
    proxy: [B, m] int64, the token of each slot by the criterion's alignment of a first pass: what the slots that are
        not masked show. None where there was no such pass, and they show the target at their own place.
    first_pass_hits: [B] int64, in how many slots the first pass predicted that token; None likewise.
    """

    slots: Tensor
    masked: Tensor
    proxy: Optional[Tensor] = None
    first_pass_hits: Optional[Tensor] = None


@dataclass(frozen=True)
class CanvasMaker:
    """Fills the slots of training canvases.

    Attributes:
        revealing: what is shown of the target.
        own_slots: whether slot i is target i's, so that no alignment has to say what it shows.
        mask_idx: the id of ``<mask>``.
        seed: of the draws.
        noise: what fills masked slots in training where that is not always ``<mask>``.
    """

    revealing: Revealing
    own_slots: bool
    mask_idx: int
    seed: int
    noise: Optional[WordNoise] = None

    @property
    def has_first_pass(self) -> bool:
        """Whether training looks at a first prediction: glancing does, and whatever reveals slots not their own."""
        return self.revealing.by_prediction or (self.revealing.masking != "full" and not self.own_slots)

    def hidden(self, lengths: Tensor, width: int) -> TrainingCanvas:
        """All slots masked, as in decoding.

        Args:
            lengths: [B], slots of each sentence.
            width: slots of the padded canvas.
        """
        slots = torch.full((lengths.size(0), width), self.mask_idx, device=lengths.device)
        return TrainingCanvas(slots, length_mask(lengths, width))

    def of_targets(
        self, targets: Tensor, lengths: Tensor, update: int, sentence_ids: Tensor, *, noisy: bool
    ) -> TrainingCanvas:
        """Slots that show the target at their own place, or are masked; without a first pass.

        Args:
            targets: [B, n] int64.
            lengths: [B].
            update, sentence_ids: what the draws depend on.
            noisy: whether :attr:`noise` fills masked slots; otherwise all hold ``<mask>``, as in decoding.
        """
        masked = self._masked(lengths, targets.size(1), None, update, sentence_ids)
        if not noisy:
            return TrainingCanvas(targets.masked_fill(masked, self.mask_idx), masked)
        return TrainingCanvas(self._filled(targets, masked, lengths, update, sentence_ids), masked)

    def first_pass(
        self, decode: Callable[[Tensor], Tensor], lengths: Tensor, width: int, proxies: SlotProxies
    ) -> FirstPass:
        """What a pass over masked slots tells, without gradient; the next pass has the same dropout.

        Args:
            decode: from slots [B, m] to logits [B, m, V].
            lengths, width: as in :meth:`hidden`.
            proxies: see :data:`SlotProxies`.
        """
        hidden = self.hidden(lengths, width)
        with aside(lengths.device):
            logits = decode(hidden.slots)
            proxy = proxies(logits, lengths)
            probabilities = probabilities_of(logits, proxy) if self.revealing.by_probability else None
            return FirstPass(proxy, logits.argmax(2), probabilities)

    def after_first_pass(self, first: FirstPass, lengths: Tensor, update: int, sentence_ids: Tensor) -> TrainingCanvas:
        """Slots that show the proxy target of a first pass over masked slots, or are masked still.

        Args:
            first: from :meth:`first_pass`.
            lengths: [B], slots of each sentence.
            update, sentence_ids: what the draws depend on.
        """
        width = first.proxy.size(1)
        masked = self._masked(lengths, width, first, update, sentence_ids)
        hits = (length_mask(lengths, width) & first.predictions.eq(first.proxy)).sum(1)
        slots = self._filled(first.proxy, masked, lengths, update, sentence_ids)
        return TrainingCanvas(slots, masked, first.proxy, hits)

    def _masked(
        self, lengths: Tensor, width: int, first: Optional[FirstPass], update: int, sentence_ids: Tensor
    ) -> Tensor:
        return self.revealing.masked(lengths, width, first, seed=self.seed, update=update, sentence_ids=sentence_ids)

    def _filled(self, tokens: Tensor, masked: Tensor, lengths: Tensor, update: int, sentence_ids: Tensor) -> Tensor:
        if self.noise is None:
            return tokens.masked_fill(masked, self.mask_idx)
        slots: Tensor = self.noise(tokens, masked, length_mask(lengths, tokens.size(1)), update, sentence_ids)
        return slots
