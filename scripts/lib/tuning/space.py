"""What is searched: flags, and the values that each may take."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from nat_plugin.errors import UserError
from scripts.lib.generation import flag_key

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Value = int | float | str
Settings = dict[str, Any]
"""One combination: flag → value."""

SAMPLERS = ("grid", "tpe", "random")
DEFAULT_VALUES = {
    "length_multiplier": "1.00:1.10:0.01",  # λ: Ghazvininejad et al. 2020, Table 7
    "length_candidates": "1,3,5,7",
    "iterations": "1,4,10",
    "deduplicate": "false,true",
    "blank_penalty": "0.0:4.0:0.5",  # γ of CTC and AXE
    "ngram_lm_weight": "0.0:1.0:0.2",  # α: Gu & Kong 2021, Eq. 6
    "token_bonus": "0.0:4.0:0.5",  # β of the same
    "beam": "1,2,4,5,8",
    "lenpen": "0.4:1.6:0.2",
    "fairseq.skip_target_penalty": "1:5:1",  # δ: Ghazvininejad et al. 2020, Table 6
    "fairseq.candidate_bleu_factor": "0,0.05,0.1,0.2,0.4",  # β of Dynamic KD: Huang et al. 2022, §3.4
}
"""Of flags that are named without values."""

_TRAINING_CHOICES = (
    "data",
    "method",
    "size",
    "budget",
    "schedule",
    "machine",
    "batch_tokens",
    "start_from",
    "run",
    "name",
)
_WHOLE = re.compile(r"[+-]?\d+")
_COMMA = re.compile(r",(?![^\[{(]*[\]})])")  # not inside brackets
_WORDS = {"true": True, "false": False}


@dataclass(frozen=True)
class Listed:
    """A flag with values that can be counted."""

    flag: str
    values: tuple[Value, ...]
    step: Value | None = None
    """Between neighbours, where they were given as a range."""

    def distribution(self, sampler: str) -> BaseDistribution:
        """What Optuna draws from: a range is one to the samplers, and a list is a choice among names."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if sampler == "grid" or self.step is None:
            return CategoricalDistribution(self.values)
        kind = IntDistribution if all(isinstance(value, int) for value in self.values) else FloatDistribution
        return kind(self.values[0], self.values[-1], step=self.step)  # type: ignore[arg-type]

    def settle(self, drawn: Any) -> Value:
        """The value that was meant: Optuna's steps leave the decimals that floating point has."""
        if self.step is None:
            return next(value for value in self.values if value == drawn and type(value) is type(drawn))
        return min(self.values, key=lambda value: abs(float(value) - float(drawn)))


@dataclass(frozen=True)
class Span:
    """A flag with any value between two; whole numbers where both ends were written as such."""

    flag: str
    first: int | float
    last: int | float
    log: bool = False
    """Whether its logarithm is what is drawn evenly."""

    def distribution(self, sampler: str) -> BaseDistribution:
        """What Optuna draws from."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if isinstance(self.first, int) and isinstance(self.last, int):
            return IntDistribution(self.first, self.last, log=self.log)
        return FloatDistribution(self.first, self.last, log=self.log)

    def settle(self, drawn: Any) -> Value:
        """The drawn value with as many digits as matter: a thousandth of the range, or three of a logarithmic one."""
        if isinstance(drawn, int):
            return drawn
        if self.log:
            rounded = float(f"{drawn:.3g}")
        else:
            rounded = round(drawn, max(0, 3 - math.floor(math.log10(self.last - self.first))))
        return min(max(rounded, float(self.first)), float(self.last))


@dataclass(frozen=True)
class Space:
    """All flags that are searched together."""

    dimensions: tuple[Listed | Span, ...]
    sampler: str
    """One of :data:`SAMPLERS`."""

    @classmethod
    def parse(cls, words: Sequence[str], sampler: str) -> Space:
        """Read ``FLAG``, ``FLAG=1,3,5``, ``FLAG=FIRST:LAST:STEP``, and for a sampler ``FLAG=FIRST:LAST`` or ``…:log``.

        Raises:
            UserError: one cannot be read, has no values, stands there twice, or has too many for a grid.
        """
        dimensions = tuple(map(parse_dimension, words))
        names = [dimension.flag for dimension in dimensions]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise UserError(f"{twice} is given twice: write all its values in one word, {twice}=VALUE,VALUE….")
        endless = [dimension.flag for dimension in dimensions if isinstance(dimension, Span)]
        if endless and sampler == "grid":
            raise UserError(
                f"{endless[0]} has a range without a step, which no grid can go through: write "
                f"{endless[0]}=FIRST:LAST:STEP, or give --sampler tpe."
            )
        return cls(dimensions, sampler)

    @property
    def names(self) -> list[str]:
        return [dimension.flag for dimension in self.dimensions]

    @property
    def is_finite(self) -> bool:
        return all(isinstance(dimension, Listed) for dimension in self.dimensions)

    def combinations(self) -> Iterator[Settings]:
        """All of a finite space, the last flag changing fastest."""
        values = [dimension.values for dimension in self.dimensions if isinstance(dimension, Listed)]
        for combination in itertools.product(*values):
            yield dict(zip(self.names, combination, strict=True))

    def first(self) -> Settings:
        """The combination of all first values."""
        return {each.flag: each.values[0] if isinstance(each, Listed) else each.first for each in self.dimensions}

    def place(self, settings: Settings, flag: str) -> int:
        """The place of a combination's value among those of its flag, in a finite space."""
        dimension = self.dimensions[self.names.index(flag)]
        assert isinstance(dimension, Listed)
        return dimension.values.index(settings[flag])

    def distributions(self) -> dict[str, BaseDistribution]:
        """For Optuna."""
        return {dimension.flag: dimension.distribution(self.sampler) for dimension in self.dimensions}

    def settle(self, drawn: Mapping[str, Any]) -> Settings:
        """The combination that Optuna's parameters stand for."""
        return {dimension.flag: dimension.settle(drawn[dimension.flag]) for dimension in self.dimensions}


def is_training_setting(name: str) -> bool:
    """Whether a flag is a word of scripts/train.py; decoding flags have no dots."""
    return "." in name or name in _TRAINING_CHOICES


def identity(settings: Mapping[str, Any]) -> str:
    """The same for equal combinations, and 1 is not 1.0 or true."""
    return json.dumps(settings, sort_keys=True)


def parse_grid(text: str) -> tuple[str, list[Value]]:
    """``length_multiplier=1.0:1.1:0.05`` → the flag and its values.

    Raises:
        UserError: no values are given and none are known for the flag, or a range cannot be read or has no step.
    """
    found = parse_dimension(text)
    if isinstance(found, Span):
        raise UserError(f"'{text}' has no step: write FIRST:LAST:STEP, such as 1.00:1.10:0.01.")
    return found.flag, list(found.values)


def parse_dimension(text: str) -> Listed | Span:
    """One word of the command line; see :meth:`Space.parse`.

    Raises:
        UserError: no values are given and none are known for the flag, or a range cannot be read.
    """
    name, _, given = text.partition("=")
    flag = flag_key(name)
    values = given or DEFAULT_VALUES.get(flag, "")
    if not flag or not values:
        raise UserError(f"'{text}' names no values: write {name}=VALUE,VALUE… or {name}=FIRST:LAST:STEP.")
    parts = _COMMA.split(values)
    if "" in parts:
        raise UserError(f"'{text}' has an empty value: write {name}=VALUE,VALUE….")
    if len(parts) > 1 or ":" not in values or values[0] in "[{":
        distinct = {(type(value), value): value for value in map(_value, parts)}
        return Listed(flag, tuple(distinct.values()))
    return _parse_range(text, flag, values.split(":"))


def _parse_range(text: str, flag: str, parts: list[str]) -> Listed | Span:
    name = text.partition("=")[0]
    log = len(parts) == 3 and parts[2] == "log"
    try:
        first, last, *steps = map(Decimal, parts[:2] if log else parts)
        if len(steps) > 1 or not all(number.is_finite() for number in (first, last, *steps)):
            raise ValueError("too many parts, or one that is no number")
    except (ValueError, InvalidOperation) as error:
        raise UserError(
            f"'{text}' is no range: write {name}=FIRST:LAST:STEP, such as 1.00:1.10:0.01 (or, with --sampler tpe or "
            "random, FIRST:LAST or FIRST:LAST:log)."
        ) from error
    if (steps and steps[0] <= 0) or last < first or (last == first and not steps) or (log and first <= 0):
        raise UserError(
            f"'{text}' is an empty range: FIRST must be below LAST, STEP above 0, and FIRST above 0 for a logarithm."
        )
    if steps:
        step, count = steps[0], int((last - first) / steps[0]) + 1
        values = tuple(_value(str(first + place * step)) for place in range(count))
        # "1:5:1" is of whole numbers, and "1.00:1.10:0.01" has 1.0 among them.
        return Listed(flag, values, step=_value(str(step)) if count > 1 else None)
    whole = all(_WHOLE.fullmatch(part) for part in parts[:2])
    low, high = (int(bound) if whole else float(bound) for bound in (first, last))
    return Span(flag, low, high, log=log)


def _value(text: str) -> Value:
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if math.isfinite(number):
            return number
    return _WORDS.get(text.lower(), text)
