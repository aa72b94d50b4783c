"""Log-likelihood and BLEU of one point of a plane after the other."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from scripts.lib.evaluation import Evaluation
from scripts.lib.generation import displayed_path
from scripts.lib.in_process import SplitTranslator
from scripts.lib.landscape.plane import Plane
from scripts.lib.likelihood import LikelihoodReader
from scripts.lib.points import PointStore, file_state


class Landscape:
    """A plane through three models, and the file of its measured points.

    Args:
        evaluations: of the three models; the first one's data and decoding serve for all.
        points: the file.
        sentences: take the first so many of the split; all by default.
        max_tokens: of a batch.

    Raises:
        UserError: checkpoints or data cannot be used, or do not lie on a plane.
    """

    def __init__(
        self, evaluations: Sequence[Evaluation], points: Path, *, sentences: int | None, max_tokens: int
    ) -> None:
        first = evaluations[0]
        self.plane = Plane([each.checkpoint for each in evaluations])
        self.translator = SplitTranslator(first, sentences=sentences, max_tokens=max_tokens)
        self._reader = LikelihoodReader(
            first.checkpoint,
            first.data.folder,
            first.split,
            max_tokens=max_tokens,
            device=torch.device(self.translator.device),
            sentences=sentences,
        )
        self._store = PointStore(
            points,
            {
                "checkpoints": [[displayed_path(each.checkpoint), file_state(each.checkpoint)] for each in evaluations],
                "data": [displayed_path(first.data.folder), file_state(first.data.folder / "prepare.json")],
                "split": first.split,
                "sentences": self.translator.sentences,
                "decoding": first.flags,
            },
        )

    def point(self, a: float, b: float) -> dict[str, Any]:
        """``a``, ``b``, ``log_likelihood`` (bits a token, of the gold length) and the scores of the translations."""
        return {"a": a, "b": b, **self._store.get(f"a {a:.9g} b {b:.9g}", lambda: self._measure(a, b))}

    def _measure(self, a: float, b: float) -> dict[str, Any]:
        model = self._reader.model
        model.load_state_dict(self.plane.at(a, b))
        likelihood = self._reader.read().log_likelihood / math.log(2)
        # translating rearranges a model's weights: a copy of its own for each point
        self.translator.translator.use([copy.deepcopy(model)])
        return {"log_likelihood": likelihood, **self.translator.scores()}
