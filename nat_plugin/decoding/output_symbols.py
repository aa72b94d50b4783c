"""The symbols that decoding puts into canvases, and those that it keeps out of translations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nat_plugin.symbols import BLANK, MASK


class OutputSymbols:
    """Ids in a target dictionary with ``<mask>`` and ``<blank>``, and what slots may say.

    Args:
        dictionary: of the target.
        blank_penalty: nats that the blank's log-probability loses wherever a slot's tokens are compared.

    Attributes:
        pad, mask, blank: ids.
        texts: what each id stands for, as language models spell it; what ``--remove-bpe`` adds to the dictionary later
            is not among them.
        never_predicted: ids that no slot may say: sentence boundaries, padding, ``<mask>``.
        dropped: these and ``<blank>``, which never reach the output.
    """

    def __init__(self, dictionary: Any, blank_penalty: float = 0.0) -> None:
        self._blank_penalty = blank_penalty
        self.pad: int = dictionary.pad()
        self.mask: int = dictionary.index(MASK)
        self.blank: int = dictionary.index(BLANK)
        self.texts = [dictionary[index] for index in range(len(dictionary))]
        self.never_predicted = torch.tensor([dictionary.bos(), self.pad, dictionary.eos(), self.mask])
        self.dropped = torch.cat([self.never_predicted, torch.tensor([self.blank])])

    def to(self, device: torch.device) -> OutputSymbols:
        """Move the tensors to a device, in place and once."""
        if self.dropped.device != device:
            self.never_predicted, self.dropped = self.never_predicted.to(device), self.dropped.to(device)
        return self

    def restrict_(self, lprobs: Tensor) -> Tensor:
        """Bar what no slot may say, and take the penalty from the blank, in place and without normalising anew.

        Args:
            lprobs: [..., V], log-probabilities or logits of the dictionary that this was made from.
        """
        lprobs.index_fill_(-1, self.never_predicted, float("-inf"))
        if self._blank_penalty:
            lprobs[..., self.blank] -= self._blank_penalty
        return lprobs
