"""fairseq's ordinary generator never lets ``<blank>`` or ``<mask>`` reach a translation.

An autoregressive model that was trained with a latent alignment may say ``<blank>`` wherever it says nothing. Haviv et
al. 2021, §4, remove it after decoding: so does this, inside the generator, for translation, interactive use and
validation BLEU alike. A hypothesis keeps the score that it was found with, and each token that stays its own.
"""

from __future__ import annotations

from typing import Any

import torch

from nat_plugin.guards.patching import Function, replace
from nat_plugin.symbols import SPECIAL_SYMBOLS


def install() -> None:
    from fairseq.sequence_generator import SequenceGenerator

    replace(SequenceGenerator, "_generate", _guarded_generation)


def _guarded_generation(original: Function) -> Function:
    def _generate(self: Any, *args: Any, **kwargs: Any) -> Any:
        """fairseq's; hypotheses without our symbols."""
        finalized = original(self, *args, **kwargs)
        never = [self.tgt_dict.index(symbol) for symbol in SPECIAL_SYMBOLS if symbol in self.tgt_dict]
        hypotheses = [hypothesis for of_sentence in finalized for hypothesis in of_sentence]
        if never and hypotheses:
            _drop(hypotheses, torch.tensor(never, device=hypotheses[0]["tokens"].device))
        return finalized

    return _generate


def _drop(hypotheses: list[dict[str, Any]], symbols: torch.Tensor) -> None:
    """Leave ``symbols`` out of the hypotheses, in place: one look at all of them, for the GPU's sake."""
    found = torch.isin(torch.cat([hypothesis["tokens"] for hypothesis in hypotheses]), symbols)
    if not found.any():
        return
    for hypothesis, dropped in zip(
        hypotheses, found.split([len(hypothesis["tokens"]) for hypothesis in hypotheses]), strict=True
    ):
        for key in ("tokens", "positional_scores"):
            hypothesis[key] = hypothesis[key][~dropped]
        if hypothesis["attention"] is not None and hypothesis["attention"].numel():
            hypothesis["attention"] = hypothesis["attention"][:, ~dropped]  # [source, target]
