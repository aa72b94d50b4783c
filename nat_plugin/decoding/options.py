"""Decoding options, wherever they come from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nat_plugin.decoding.ctc_beam import CtcBeamOptions
from nat_plugin.errors import UserError

# What --eval-bleu-args may say besides our own options: fairseq fills these in, and they mean nothing here.
_HARMLESS_GENERATION_KEYS = frozenset({"beam"})
# fairseq's own generation options that are merged into ours, or that change nothing in what is translated.
_FAIRSEQS = frozenset(
    {
        *("_name", "beam", "nbest", "lenpen", "retain_iter_history", "sacrebleu", "print_step"),
        *("iter_decode_with_beam", "iter_decode_max_iter", "iter_decode_force_max_iter"),
        *("no_beamable_mm", "no_early_stop", "no_seed_provided"),
    }
)
_OURS_INSTEAD = {
    "lm_path": "--ngram-lm-path",
    "no_repeat_ngram_size": "--deduplicate",
    "max_len_a": "--length-multiplier",
    "max_len_b": "--length-multiplier",
    "iter_decode_with_external_reranker": "--reranker",
}
FOR_PREDICTED_LENGTHS = ("length_multiplier", "length_candidates", "iterations", "remask_neighbours")
"""Options that have no meaning where the source's length gives the canvas's."""
_OF_BEAM_SEARCH = frozenset(
    {
        *("ctc_beam_tokens", "ctc_candidates", "ctc_search", "ctc_workers"),
        *("ngram_lm_path", "ngram_lm_weight", "token_bonus", "length_bonus_form"),
    }
)


@dataclass(frozen=True)
class DecodingOptions:
    """What the task's decoding flags say; see ``NatTranslationConfig`` for each one's meaning."""

    length_multiplier: float = 1.0
    length_candidates: int = 1
    iterations: int = 1
    stop_when_unchanged: bool = False
    remask_neighbours: bool = False
    deduplicate: bool = False
    blank_penalty: float = 0.0
    reranker: str = ""
    lenpen: float = 1.0
    ctc_beam: int = 0
    ctc_beam_tokens: int = 20
    ctc_candidates: int = 0
    ctc_search: str = "flashlight"
    ctc_workers: int = 1
    ngram_lm_path: str = ""
    ngram_lm_weight: float = 0.0
    token_bonus: float = 0.0
    length_bonus_form: str = "log"
    latent_samples: int = 1
    latent_temperature: float = 0.1
    input_sampling: bool = False
    vanilla_nat: str = ""
    input_sampling_seed: int = 1
    nbest: int = 1
    retain_history: bool = False

    @property
    def candidates(self) -> int:
        """How many translations of a sentence there can be to choose from."""
        found = min(self.ctc_candidates or self.ctc_beam, self.ctc_beam)
        return self.length_candidates * self.latent_samples * max(1, found)

    @property
    def beam_search(self) -> CtcBeamOptions:
        """What CTC beam search is told, where ``ctc_beam`` asks for one."""
        return CtcBeamOptions(
            beam=self.ctc_beam,
            tokens=self.ctc_beam_tokens,
            lm_path=self.ngram_lm_path,
            lm_weight=self.ngram_lm_weight,
            token_bonus=self.token_bonus,
            bonus_form=self.length_bonus_form,
            workers=self.ctc_workers,
            search=self.ctc_search,
        )

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
        if not math.isfinite(self.blank_penalty):
            raise UserError(f"--blank-penalty must be finite, not {self.blank_penalty}: 0 to 4 are of use.")
        for name in ("length_candidates", "iterations", "latent_samples", "nbest"):
            if getattr(self, name) < 1:
                raise UserError(f"{_flag(name)} must be at least 1, not {getattr(self, name)}.")
        self._validate_beam_search()
        self._validate_input_sampling()
        if not 0 <= self.latent_temperature < math.inf:
            raise UserError(f"--latent-temperature must be 0 or more and finite, not {self.latent_temperature}.")
        if self.latent_samples > 1 and self.latent_temperature == 0:
            raise UserError("--latent-temperature 0 makes all --latent-samples equal: the paper uses 0.1.")
        if self.reranker and self.candidates == 1:
            raise UserError(
                "--reranker has nothing to choose from: add --length-candidates K, with K of 5 or more for a gain "
                "(for a CTC model --ctc-beam K; --latent-samples K where there is a latent variable)."
            )
        if not math.isfinite(self.lenpen):
            raise UserError(f"--lenpen must be finite, not {self.lenpen}: .6 to 2 are of use.")
        if self.lenpen != 1 and not self.reranker:
            raise UserError("--lenpen is the length penalty of the teacher that chooses: add --reranker, or drop it.")
        if self.nbest > self.candidates:
            raise UserError(
                f"--nbest {self.nbest} needs at least as many candidates: add --length-candidates {self.nbest} "
                f"(for a CTC model --ctc-beam {self.nbest})."
            )
        return self

    def _validate_beam_search(self) -> None:
        for name in ("ctc_beam", "ctc_candidates"):
            if getattr(self, name) < 0:
                raise UserError(f"{_flag(name)} must be 0 or more, not {getattr(self, name)}.")
        if self.ctc_beam:
            self.beam_search.validate()
            return
        for entry in dataclasses.fields(self):
            if entry.name in _OF_BEAM_SEARCH and getattr(self, entry.name) != entry.default:
                raise UserError(f"{_flag(entry.name)} belongs to CTC beam search: add --ctc-beam 20, or drop it.")

    def _validate_input_sampling(self) -> None:
        if not self.input_sampling:
            for name in ("vanilla_nat", "input_sampling_seed"):
                if getattr(self, name) != getattr(DecodingOptions, name):
                    raise UserError(f"{_flag(name)} belongs to --input-sampling: add it, or drop {_flag(name)}.")
            return
        if not self.vanilla_nat:
            raise UserError(
                "--input-sampling needs a vanilla NAT that says which tokens are revealed: add --vanilla-nat "
                "CHECKPOINT, of a model trained with --masking full."
            )
        if self.iterations > 1:
            raise UserError(
                f"--input-sampling fills what it masks in one pass, and --iterations {self.iterations} would mask what "
                "it reveals: drop one of them."
            )

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


def check_model(
    options: DecodingOptions, *, upsamples: bool, has_latent: bool, has_input_predictor: bool = False
) -> None:
    """Compare the options with what a model has.

    Args:
        upsamples: whether the source's length gives the canvas's (CTC): such a canvas has one length, and is decoded in
            one pass.
        has_latent: whether there is a latent variable to draw.
        has_input_predictor: whether it can say what to reveal.

    Raises:
        UserError: an option that the model has no use for.
    """
    if upsamples:
        for name in FOR_PREDICTED_LENGTHS:
            value = getattr(options, name)
            if value != getattr(DecodingOptions, name):
                said = _flag(name) if value is True else f"{_flag(name)} {value}"
                raise UserError(f"{said} has no meaning for a model with --upsample-scale: drop it.")
    elif options.ctc_beam:
        raise UserError(
            f"--ctc-beam {options.ctc_beam} searches the slots of a CTC model, and this model has no --upsample-scale: "
            "drop it, or take --length-candidates."
        )
    if options.latent_samples > 1 and not has_latent:
        raise UserError(
            f"--latent-samples {options.latent_samples} draws a latent variable, and this model has none: drop it, or "
            "train with --latent-dim 8."
        )
    if options.input_sampling and not has_input_predictor:
        raise UserError(
            "--input-sampling needs a model that was trained with --input-predictor, and this one was not: drop it, or "
            "train with it."
        )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


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
    from fairseq.dataclass.configs import GenerationConfig

    values: dict[str, Any] = {
        "nbest": generation.nbest,
        "lenpen": float(generation.lenpen),
        "retain_history": generation.retain_iter_history,
    }
    if generation.iter_decode_with_beam > 1 and options.length_candidates == 1:
        values["length_candidates"] = generation.iter_decode_with_beam
    if generation.iter_decode_max_iter != 10 and options.iterations == 1:
        values["iterations"] = generation.iter_decode_max_iter + 1
    for entry in dataclasses.fields(GenerationConfig):
        if entry.name in _FAIRSEQS or getattr(generation, entry.name, entry.default) == entry.default:
            continue
        instead = f", or use {_OURS_INSTEAD[entry.name]}" if entry.name in _OURS_INSTEAD else ""
        raise UserError(f"{_flag(entry.name)} is not supported by non-autoregressive decoding: drop it{instead}.")
    return dataclasses.replace(options, **values).validate()
