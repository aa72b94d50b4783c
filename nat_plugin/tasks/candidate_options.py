"""The options of Dynamic KD: γ, β, and what a candidate's cost is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fairseq import utils

from nat_plugin.errors import UserError


@dataclass(frozen=True)
class CandidateOptions:
    """What decides among K candidates: the smallest L̂_NAT(T) - β·Σ_i γ_i·S(Γ_i, T).

    Attributes:
        folders: of binarised data, one a candidate, but the last candidate, which is the training data's own target.
        weights: γ, one a candidate.
        bleu_factor: β; 0 switches the regulariser off.
        per_token: L̂_NAT is a mean over tokens, not their sum.
        cache: folder for the sentence BLEU between the candidates.
    """

    folders: tuple[str, ...]
    weights: tuple[float, ...]
    bleu_factor: float
    per_token: bool
    cache: str

    @classmethod
    def of(cls, cfg: Any) -> CandidateOptions | None:
        """The options in a task's configuration; None where there are no candidates.

        Raises:
            UserError: the number of weights is not that of the candidates, or a number is out of range.
        """
        folders = tuple(utils.split_paths(cfg.target_candidates)) if cfg.target_candidates else ()
        if not folders:
            if cfg.candidate_weights:
                raise UserError("--candidate-weights has no meaning without --target-candidates: drop it.")
            return None
        if len(utils.split_paths(cfg.data)) > 1:
            raise UserError(
                "--target-candidates needs the training data in one folder, not in several that take turns: put them "
                "into one."
            )
        if not 0 <= cfg.candidate_bleu_factor < math.inf:
            raise UserError(
                f"--candidate-bleu-factor must be 0 or more and finite, not {cfg.candidate_bleu_factor}: 0 switches "
                "the regulariser off."
            )
        weights = _weights(cfg.candidate_weights, len(folders) + 1)
        per_token = str(getattr(cfg.candidate_cost, "value", cfg.candidate_cost)) == "token"
        cache = cfg.candidate_cache or utils.split_paths(cfg.data)[0]
        return cls(folders, weights, float(cfg.candidate_bleu_factor), per_token, cache)


def _weights(text: str, count: int) -> tuple[float, ...]:
    if not text:
        return (1.0,) * count
    try:
        weights = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"--candidate-weights {text} are no numbers: write them as .7,.6,1.3,1.5,2.3.") from error
    if not all(0 <= weight < math.inf for weight in weights):
        raise UserError(f"--candidate-weights {text} must be 0 or more and finite.")
    if len(weights) != count:
        raise UserError(
            f"--candidate-weights {text} are {len(weights)}, but there are {count} candidates: give one for each "
            "folder of --target-candidates in its order, and the last for the training data's own target."
        )
    return weights
