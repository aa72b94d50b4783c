"""Choosing again from one n-best list: what changes only the ranking of finished sentences needs no new decoding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nat_plugin.decoding.ctc_search import length_bonus
from scripts.lib.evaluation import Evaluation
from scripts.lib.generation import Generation, Hypothesis
from scripts.lib.results import Row
from scripts.lib.stages import exclusive

RANKING_FLAGS = ("token_bonus", "length_bonus_form")
"""Flags of CTC beam search that the search itself does not see."""


class NBestLists:
    """The n-best lists of CTC beam search on one split, decoded once for each setting of the other flags.

    They are kept in RUN/results, so that a later search does not decode them again.

    The search maximises log p(y|x) + α·log p_LM(y) whatever β is, so that choosing by β from its n-best lists gives
    the very translations that decoding with β would give.
    """

    def __init__(self, run: Path, split: str, threads: int | None, checkpoint: str | None = None) -> None:
        self.run, self.split, self.threads, self.checkpoint = run, split, threads, checkpoint
        self._lists: dict[tuple[tuple[str, Any], ...], Generation] = {}

    @staticmethod
    def can_serve(planned: Evaluation, settings: Mapping[str, Any]) -> bool:
        """Whether ``settings`` tune a flag of the ranking, and ``planned`` prints all that its searches found.

        Not so where the bonus changes what is found, or a teacher chooses.
        """
        flags = planned.flags
        printed_otherwise = ("remove_bpe", "post_process", "deduplicate", "reranker", "ctc_candidates")
        if not flags.get("ctc_beam") or any(flags.get(flag) for flag in printed_otherwise):
            return False
        return flags.get("ctc_search", "flashlight") == "flashlight" and bool(set(settings) & set(RANKING_FLAGS))

    def row(self, planned: Evaluation, settings: Mapping[str, Any]) -> Row:
        """Score the sentences that come first under ``settings``, and write RUN/results as a decoding would."""
        searched = {flag: value for flag, value in settings.items() if flag not in RANKING_FLAGS}
        key = tuple(searched.items())
        if key not in self._lists:
            # Without a bonus the printed score is log p(y|x) + α·log p_LM(y).
            nbest = planned.flags["ctc_beam"] * planned.flags.get("latent_samples", 1)
            whole_list = {"token_bonus": 0.0, "length_bonus_form": "log", "nbest": nbest}
            whole = Evaluation.plan(
                self.run, split=self.split, checkpoint=self.checkpoint, overrides=searched | whole_list
            )
            # Of several processes that tune one run, one decodes and the others read what it found.
            with exclusive(self.run / "results" / f".{whole.stem}.lock", wait=True):
                self._lists[key] = whole.stored_generation() or self._decode(whole)
        generation = self._lists[key]
        bonus, form = planned.flags.get("token_bonus", 0.0), planned.flags.get("length_bonus_form", "log")
        best = [first_by(generation.hypotheses[index], bonus, form).tokens for index in range(len(planned.sources))]
        return planned.store(best, generation)

    def _decode(self, whole: Evaluation) -> Generation:
        """All that the search finds; its row, written last, says that the log beside it is whole."""
        generation = whole.translate(self.threads)
        whole.store([generation.hypotheses[index][0].tokens for index in range(len(whole.sources))], generation)
        return generation


def first_by(hypotheses: Sequence[Hypothesis], bonus: float, form: str) -> Hypothesis:
    """The hypothesis of the highest score (in base 2, without bonus) + β·log|y| or β·|y|; of equals, the first."""
    return max(
        hypotheses, key=lambda entry: math.log(2) * entry.score + bonus * length_bonus(len(entry.tokens.split()), form)
    )
