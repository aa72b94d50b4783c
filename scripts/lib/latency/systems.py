"""What is compared: trained models with the flags that they decode with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from nat_plugin.errors import UserError
from scripts.lib.evaluation import Evaluation
from scripts.lib.generation import flag_key

# Keys of a specification that are no decoding flags.
_NAME, _CHECKPOINT, _TUNED = "name", "checkpoint", "tuned"
# What the measures decide themselves.
_DECIDED = {
    "batch_size": "how many sentences make a batch is what the measures differ in",
    "max_tokens": "how many tokens make a batch is what the measures differ in",
    "cpu": "choose with --measures",
    "nbest": "only the best translation counts",
    "bf16": "fairseq-generate does not translate in it, use fp16=true",
}


@dataclass(frozen=True)
class SystemSpec:
    """``RUN:iterations=10,length_candidates=5,name=mask-predict``, taken apart."""

    path: Path
    """A run directory or a checkpoint."""
    flags: dict[str, Any] = field(default_factory=dict)
    """Decoding flags that win over the run's."""
    name: str | None = None
    checkpoint: str | None = None
    tuned: Path | None = None
    """Of scripts/tune.py: its winner decodes in place of the run's ``tuned.json``; ``none``: neither does."""

    @classmethod
    def parse(cls, text: str) -> SystemSpec:
        """Read a specification; the path ends at the last colon that is followed by ``key=``.

        Raises:
            UserError: something after the path is no key=value, or a flag that the measures decide.
        """
        match = re.fullmatch(r"(?P<path>.+?)(?::(?P<flags>[A-Za-z-][\w-]*=.*))?", text, re.DOTALL)
        if match is None:
            raise UserError(f"'{text}' names no run: write RUN or RUN:iterations=10,length_candidates=5.")
        flags: dict[str, Any] = {}
        for pair in _split(match["flags"] or ""):
            key, _, value = pair.partition("=")
            flags[flag_key(key)] = _value(pair, value)
        name, checkpoint, tuned = (flags.pop(key, None) for key in (_NAME, _CHECKPOINT, _TUNED))
        for key, why in _DECIDED.items():
            if key in flags:
                raise UserError(f"'{text}' sets {key}: {why}, so drop it.")
        return cls(
            Path(match["path"]),
            flags,
            None if name is None else str(name),
            checkpoint and str(checkpoint),
            tuned and Path(str(tuned)),
        )


def _split(flags: str) -> list[str]:
    """At commas that a further ``key=`` follows: a value may hold commas itself."""
    return [part for part in re.split(r",(?=[A-Za-z-][\w-]*=)", flags) if part]


def _value(pair: str, value: str) -> Any:
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UserError(f"'{pair}' has a value that cannot be read: quote it.") from error


def plan_systems(
    specs: Sequence[SystemSpec], *, split: str, data: Path | None, tokenizer: str | None
) -> list[Evaluation]:
    """Read and check everything about each system.

    Args:
        split, data, tokenizer: as in :meth:`scripts.lib.evaluation.Evaluation.plan`.

    Raises:
        UserError: a run, its checkpoint or its data cannot be used; two systems have one name; or they are not of the
            same test set.
    """
    planned = []
    for spec in specs:
        evaluation = Evaluation.plan(
            spec.path,
            split=split,
            data=data,
            checkpoint=spec.checkpoint,
            overrides=spec.flags,
            tokenizer=tokenizer,
            name=spec.name,
            tuned=spec.tuned,
        )
        for key in _DECIDED:
            evaluation.flags.pop(key, None)
        planned.append(evaluation)
    _check_names([evaluation.system for evaluation in planned])
    first = planned[0]
    for other in planned[1:]:
        if (other.sources, other.references) != (first.sources, first.references):
            raise UserError(
                f"{first.system} and {other.system} are not of the same test set ({first.data.folder} and "
                f"{other.data.folder}, split {split}): name one with --data DIR."
            )
    return planned


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two systems are called '{name}': give one of them another, RUN:name=….")
