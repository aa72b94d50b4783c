"""The symbols that decoding puts into canvases, and those that it keeps out of translations."""

from __future__ import annotations

from typing import Any

import torch

from nat_plugin.symbols import BLANK, MASK


class OutputSymbols:
    """Ids in a target dictionary with ``<mask>`` and ``<blank>``.

    Attributes:
        pad, mask, blank: ids.
        texts: what each id stands for, as language models spell it; what ``--remove-bpe`` adds to the dictionary later
            is not among them.
        never_predicted: ids that no slot may say: sentence boundaries, padding, ``<mask>``.
        dropped: these and ``<blank>``, which never reach the output.
    """

    def __init__(self, dictionary: Any) -> None:
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
