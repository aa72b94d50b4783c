"""The two symbols that non-autoregressive models add to a dictionary.

``<mask>`` fills a decoder slot whose token is to be predicted; ``<blank>`` (the papers' epsilon) is what a slot
predicts when it stands for no token. Both are ordinary dictionary entries of their own, never ``<unk>`` or ``<pad>``,
and neither may reach an output string.
"""

from __future__ import annotations

MASK = "<mask>"
BLANK = "<blank>"
SPECIAL_SYMBOLS = (MASK, BLANK)
