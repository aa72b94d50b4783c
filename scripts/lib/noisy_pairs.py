"""Which training pairs are noise, by rules on the untouched text.

Bicleaner, with which Gu & Kong 2021 filter WMT'20 Ja-En, scores pairs with a classifier after rules have thrown out the
obvious noise. The rules here are of that second kind (https://github.com/bitextor/bicleaner-hardrules): each looks at a
pair alone and needs no model. Limits that are Bicleaner's own are marked so in :data:`DEFAULTS`.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import regex

from nat_plugin.errors import UserError

DEFAULTS: Mapping[str, float] = MappingProxyType(
    {
        "max-chars": 1024,  # characters of a side (Bicleaner)
        "min-units": 3,  # words, or characters of Chinese and Japanese (Bicleaner)
        "byte-ratio": 3.0,  # bytes of the longer side / of the shorter (Bicleaner, for Chinese and Japanese)
        "letters": 0.1,  # least share of letters among the characters (Bicleaner)
        "digits": 0.5,  # largest share of digits among the characters (Bicleaner; 0.7 for Chinese and Japanese there)
        "script": 0.5,  # least share of letters in the language's script, in place of a language classifier
        "copied": 0.6,  # largest share of a side's words that stand on the other side, too; 1 for identical sides
        "numbers": 0.5,  # largest share of numbers of two and more digits that only one side has, where both have some
        "marks": 3,  # largest difference in the number of sentence-ending marks
        "encoding": 0,  # largest number of signs of text that was decoded wrongly (Bicleaner)
    }
)
"""Rule → its limit, in the order in which the rules are tried; a pair counts for the first that it breaks."""
OFF = "off"

_CHARACTER_LANGUAGES = frozenset({"ja", "ko", "th", "yue", "zh"})
_SCRIPTS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(
            ("cs", "de", "en", "es", "et", "fi", "fr", "it", "lt", "lv", "nl", "pl", "pt", "ro", "tr"), "Latin"
        ),
        **dict.fromkeys(("bg", "ru", "uk"), "Cyrillic"),
        "el": "Greek",
        "ko": "Hangul",
        "yue": "Han",
        "zh": "Han",
    }
)
_LETTER, _DIGIT = regex.compile(r"\p{L}"), regex.compile(r"\p{Nd}")
_NUMBER = regex.compile(r"\d{2,}")
_MARK = regex.compile(r"[.!?。！？]+(?=[\s\"'”’」』)]|$|(?<=[。！？]))")
_MISDECODED = regex.compile(r"[ÃÂ][\x80-\xBF]|\uFFFD|\\[xu][0-9a-fA-F]{2,}")
_JAPANESE = regex.compile(r"[\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Han}ー]")


class NoiseFilter:
    """Decides pair by pair, and keeps count.

    Args:
        limits: rule → limit, of :data:`DEFAULTS`; rules that are not there are not tried.
    """

    def __init__(self, limits: Mapping[str, float], languages: Sequence[str]) -> None:
        self._limits = limits
        self._languages = languages
        self._scripts = [_script(language) for language in languages]
        self.dropped: Counter[str] = Counter()

    def keep(self, pair: Sequence[str]) -> bool:
        """Whether no rule speaks against the pair (source, target)."""
        for rule, limit in self._limits.items():
            if self._breaks(rule, limit, pair):
                self.dropped[rule] += 1
                return False
        return True

    def _breaks(self, rule: str, limit: float, pair: Sequence[str]) -> bool:
        if rule in _OF_A_SIDE:
            return any(_OF_A_SIDE[rule](side, limit) for side in pair)
        if rule == "min-units":
            return any(_units(side, language) < limit for side, language in zip(pair, self._languages, strict=True))
        if rule == "script":
            return any(
                script is not None and _share(script, side) < limit
                for side, script in zip(pair, self._scripts, strict=True)
            )
        return _OF_A_PAIR[rule](pair) > limit


def parse_limits(values: Sequence[str]) -> dict[str, float]:
    """The limits of ``--filter-noise RULE=LIMIT …``: :data:`DEFAULTS` where nothing else is said; none for ``off``.

    Raises:
        UserError: there is no such rule, or its limit is no number.
    """
    limits = dict(DEFAULTS)
    if list(values) == [OFF]:
        return {}
    for value in values:
        rule, _, limit = value.partition("=")
        if rule not in DEFAULTS:
            raise UserError(f"--filter-noise {value}: there is no rule '{rule}', take one of {', '.join(DEFAULTS)}.")
        if limit == OFF:
            limits.pop(rule, None)
            continue
        try:
            limits[rule] = float(limit)
        except ValueError as error:
            raise UserError(
                f"--filter-noise {value}: give a number, as in {rule}={DEFAULTS[rule]:g}, or 'off'."
            ) from error
    return limits


def _script(language: str) -> regex.Pattern[str] | None:
    if language == "ja":
        return _JAPANESE
    name = _SCRIPTS.get(language)
    return regex.compile(rf"\p{{Script={name}}}") if name else None


def _share(script: regex.Pattern[str], side: str) -> float:
    letters = _LETTER.findall(side)
    return len(script.findall("".join(letters))) / len(letters) if letters else 1.0


def _units(side: str, language: str) -> int:
    return len(side.replace(" ", "")) if language in _CHARACTER_LANGUAGES else len(side.split())


def _byte_ratio(pair: Sequence[str]) -> float:
    longest, shortest = sorted((len(side.encode()) for side in pair), reverse=True)
    return longest / max(1, shortest)


def _copied(pair: Sequence[str]) -> float:
    """Of the side with fewer words, the share that the other has too; sentences of one word say nothing."""
    source, target = (Counter(word.casefold() for word in side.split() if _LETTER.search(word)) for side in pair)
    fewer = min(source.total(), target.total())
    if pair[0].casefold() == pair[1].casefold():
        return 1.0
    return (source & target).total() / fewer if fewer > 1 else 0.0


def _one_sided_numbers(pair: Sequence[str]) -> float:
    source, target = (Counter(_NUMBER.findall(unicodedata.normalize("NFKC", side))) for side in pair)
    if not source or not target:  # one side may have them in words, or in Chinese characters
        return 0.0
    return 1 - (source & target).total() / max(source.total(), target.total())


def _marks(pair: Sequence[str]) -> float:
    source, target = (len(_MARK.findall(side)) for side in pair)
    return abs(source - target)


_OF_A_SIDE: Mapping[str, Callable[[str, float], bool]] = {
    "max-chars": lambda side, limit: len(side) > limit,
    "letters": lambda side, limit: len(_LETTER.findall(side)) < limit * len(side),
    "digits": lambda side, limit: len(_DIGIT.findall(side)) > limit * len(side),
    "encoding": lambda side, limit: len(_MISDECODED.findall(side)) > limit,
}
_OF_A_PAIR: Mapping[str, Callable[[Sequence[str]], float]] = {
    "byte-ratio": _byte_ratio,
    "copied": _copied,
    "numbers": _one_sided_numbers,
    "marks": _marks,
}
