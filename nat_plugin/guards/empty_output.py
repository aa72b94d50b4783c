"""fairseq's own BLEU survives an empty hypothesis, which a model that says nothing but ``<blank>`` gives."""

from __future__ import annotations

from typing import Any

from nat_plugin.guards.patching import Function, replace


def install() -> None:
    from fairseq.scoring.bleu import Scorer

    replace(Scorer, "add", _guarded_add)


def _guarded_add(original: Function) -> Function:
    def add(self: Any, ref: Any, pred: Any) -> None:
        # Its C code reads before the first of no tokens and dies. With --post-process the hypothesis is a lone end of
        # sentence, so this gives the same score.
        original(self, ref, pred if pred.numel() else pred.new_tensor([self.eos]))

    return add
