"""Decoding options, wherever they come from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nat_plugin.errors import UserError

# What --eval-bleu-args may say besides our own options: fairseq fills these in, and they mean nothing here.
_HARMLESS_GENERATION_KEYS = frozenset({"beam"})


@dataclass(frozen=True)
class DecodingOptions:
    """What the task's decoding flags say; see ``NatTranslationConfig`` for each one's meaning."""

    length_multiplier: float = 1.0
    length_candidates: int = 1
    iterations: int = 1
    stop_when_unchanged: bool = False
    deduplicate: bool = False
    reranker: str = ""
    nbest: int = 1
    retain_history: bool = False

    def validate(self) -> DecodingOptions:
        """Return self.

        Raises:
            UserError: a value is out of range.
        """
        for entry in dataclasses.fields(self):
            _check_type(entry.name, getattr(self, entry.name), entry.default)
        if not 0 < self.length_multiplier < math.inf:
            raise UserError(
                f"--length-multiplier must be above 0 and finite, not {self.length_multiplier}: the papers "
                "use 1.00 to 1.10."
            )
        for name in ("length_candidates", "iterations", "nbest"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name.replace('_', '-')} must be at least 1, not {getattr(self, name)}.")
        if self.reranker and self.length_candidates == 1:
            raise UserError(
                "--reranker has nothing to choose from: add --length-candidates K, with K of 5 or more for a gain."
            )
        if self.nbest > self.length_candidates:
            raise UserError(
                f"--nbest {self.nbest} needs at least as many candidates: add --length-candidates {self.nbest}."
            )
        return self

    def override(self, values: Mapping[str, Any]) -> DecodingOptions:
        """These options with some replaced, as ``--eval-bleu-args`` does.

        Raises:
            UserError: a key is no decoding option, or a value is out of range.
        """
        known = {entry.name for entry in dataclasses.fields(self)}
        unknown = sorted(set(values) - known - _HARMLESS_GENERATION_KEYS)
        if unknown:
            raise UserError(
                f"--eval-bleu-args names unknown options {', '.join(unknown)}: known are {', '.join(sorted(known))}."
            )
        return dataclasses.replace(self, **{key: values[key] for key in values if key in known}).validate()


def check_upsampled(options: DecodingOptions) -> None:
    """An upsampled canvas (CTC) has one length, and is decoded in one pass.

    Raises:
        UserError: an option that it does not have.
    """
    for name, neutral in (("length_multiplier", 1.0), ("length_candidates", 1), ("iterations", 1)):
        if getattr(options, name) != neutral:
            raise UserError(
                f"--{name.replace('_', '-')} {getattr(options, name)} has no meaning for a model with "
                "--upsample-scale: drop it."
            )


def _check_type(name: str, value: Any, default: Any) -> None:
    """``--eval-bleu-args`` may hold anything that JSON has; a whole number is a fine float, True is no number."""
    kinds = (int, float) if isinstance(default, float) else (type(default),)
    if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(default, bool):
        raise UserError(
            f"{name} must be {' or '.join(kind.__name__ for kind in kinds)}, not {value!r}: correct --eval-bleu-args."
        )


def from_fairseq(options: DecodingOptions, generation: Any) -> DecodingOptions:
    """Merge fairseq's own generation options into ours.

    ``--iter-decode-with-beam`` and ``--iter-decode-max-iter`` (N-1 in fairseq for N passes) keep their meaning where
    they are given. fairseq's default of 10 for the latter cannot be told from a given 10: use ``--iterations`` then.

    Args:
        generation: fairseq's GenerationConfig.

    Raises:
        UserError: an option that non-autoregressive decoding does not have.
    """
    values: dict[str, Any] = {
        "nbest": generation.nbest,
        "retain_history": generation.retain_iter_history,
    }
    if generation.iter_decode_with_beam > 1 and options.length_candidates == 1:
        values["length_candidates"] = generation.iter_decode_with_beam
    if generation.iter_decode_max_iter != 10 and options.iterations == 1:
        values["iterations"] = generation.iter_decode_max_iter + 1
    for flag, given in {
        "--sampling": generation.sampling,
        "--constraints": generation.constraints,
        "--print-alignment": generation.print_alignment,
        "--score-reference": generation.score_reference,
        "--iter-decode-with-external-reranker": generation.iter_decode_with_external_reranker,
        "--lm-path": generation.lm_path,
    }.items():
        if given:
            raise UserError(f"{flag} is not supported by non-autoregressive decoding: drop it.")
    return dataclasses.replace(options, **values).validate()
