"""Measuring combinations of decoding flags with one trained run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nat_plugin.errors import UserError
from nat_plugin.files import write_json
from scripts.lib.evaluation import Evaluation
from scripts.lib.points import file_state
from scripts.lib.rescoring import RANKING_FLAGS, NBestLists
from scripts.lib.results import Row
from scripts.lib.runs import Run
from scripts.lib.tuning.space import Settings, Space, is_training_setting

METRICS = ("bleu", "chrf", "tokenized_bleu", "tokenized_bleu_uncased")
"""What can be made highest: :class:`scripts.lib.scoring.Scores` has the definitions."""


class Decoding:
    """Translates a split with each combination and scores it, as scripts/evaluate.py does.

    What RUN/results has of the same checkpoint is read, not made again; flags that only rank what CTC beam search found
    are tried on the n-best lists of one decoding.

    Args:
        run: the run directory.
        space: what is searched; the settings of training in it, if any, are those that ``run`` was trained with.
        split: what is translated.
        threads: processor threads of fairseq-generate.
        checkpoint: see :meth:`scripts.lib.trained_model.TrainedModel.checkpoint`.
    """

    def __init__(
        self, run: Path, space: Space, *, split: str, threads: int | None = None, checkpoint: str | None = None
    ) -> None:
        self.run, self._space, self._split, self._threads, self._checkpoint = run, space, split, threads, checkpoint
        self._lists = NBestLists(run, split, threads, checkpoint)

    def check(self) -> None:
        """Refuse what does not belong to decoding.

        Raises:
            UserError: a flag is a setting of training, or the run cannot be evaluated.
        """
        for name in self._space.names:
            if is_training_setting(name):
                raise UserError(
                    f"{name} is a setting of training, and {self.run} is trained: give --train 'data=… method=…' in "
                    "place of the run, so that each value is trained."
                )
        self._check_canvas()
        self._plan({})

    def _check_canvas(self) -> None:
        """Before anything is decoded: values that change nothing, such as λ = 1, are taken from any model."""
        from nat_plugin.decoding.options import FOR_PREDICTED_LENGTHS

        run = Run(self.run)
        if not run.config_file.is_file() or not (run.read_config().get("fairseq") or {}).get("upsample_scale"):
            return
        for name in self._space.names:
            if name in FOR_PREDICTED_LENGTHS:
                raise UserError(
                    f"{name} has no meaning for {self.run}, a CTC model, whose canvas has a multiple of the source's "
                    "length: tune blank_penalty, or ctc_beam with token_bonus."
                )

    @property
    def name(self) -> str:
        """Of the system."""
        return self._plan({}).system

    @property
    def study_file(self) -> Path:
        """Where the study is unless the user says so."""
        return self.run / "results" / f"tune_{'_'.join(self._space.names)}.journal"

    @property
    def about(self) -> dict[str, Any]:
        """What the figures depend on beside the flags that are searched."""
        planned = self._plan({})
        fixed = {flag: value for flag, value in planned.flags.items() if flag not in self._space.names}
        checkpoint = [planned.checkpoint.name, *file_state(planned.checkpoint)]
        return {"system": planned.system, "checkpoint": checkpoint, "split": self._split, "flags": fixed}

    @property
    def slowest_first(self) -> list[str]:
        """The flags in the order in which their values should change least often: a decoding serves all bonuses, and
        several processes begin with different decodings."""
        return sorted(self._space.names, key=lambda name: name not in RANKING_FLAGS)

    def measure(self, settings: Settings) -> Row:
        """The row of one combination.

        Raises:
            UserError: fairseq-generate failed.
        """
        planned = self._plan(settings)
        row = planned.stored()
        if row is None:
            serves = self._lists.can_serve(planned, settings)
            row = self._lists.row(planned, settings) if serves else planned.run(self._threads)
        return row

    def keep(self, settings: Settings) -> str:
        """Merge a combination into RUN/tuned.json, where other tuned flags stay; returns what to tell the user."""
        path = self.run / "tuned.json"
        try:
            before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except ValueError as error:
            raise UserError(f"{path} is damaged ({error}): remove it and run the same command again.") from error
        write_json(path, before | settings)
        return f"stored in {path}, which scripts/evaluate.py reads"

    def _plan(self, settings: Mapping[str, Any]) -> Evaluation:
        return Evaluation.plan(self.run, split=self._split, checkpoint=self._checkpoint, overrides=settings)
