"""Mends around fairseq that any user of the plugin needs, whichever command loaded it.

==============  ========================================================================================
checkpoints     read safely; a file that is missing, damaged, foreign or does not fit gets one sentence
literals        no text of a configuration is run as Python
writing         written whole or not at all; a full disk gets one sentence
settings        combinations of training flags that would fail hours later are refused at once
text_input      fairseq-interactive reads UTF-8 strictly and names the line that is not
precision       half precision without a GPU is refused; --bf16 is no longer taken for a request for a TPU
output_symbols  <blank> and <mask> never come out of fairseq's ordinary generator
empty_output    fairseq's own BLEU does not crash when a model translates into nothing
workers         data-loading workers end with their epoch
messages        mistakes that a user can mend end in their one sentence, without a traceback
==============  ========================================================================================
"""

from __future__ import annotations

from nat_plugin.guards import (
    checkpoints,
    empty_output,
    literals,
    messages,
    output_symbols,
    precision,
    settings,
    text_input,
    workers,
    writing,
)


def install() -> None:
    """Put all of them in place; fairseq has to be imported already. Safe to call again."""
    parts = [checkpoints, literals, writing, settings, precision, text_input, output_symbols, empty_output, workers]
    for guard in [*parts, messages]:
        guard.install()
