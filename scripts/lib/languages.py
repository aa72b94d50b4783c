"""The words of the two invented languages of the generated corpus: Kel (the source, ``qke``) and Moru (``qmo``).

The codes lie in the range that ISO 639-2 keeps for local use. The words are built from syllables with a generator of
their own, so that the languages are the same for every ``--seed``; the seed decides only which sentences are said in
them. ``meanings`` puts the words together into Kel sentences, ``renderings`` into all Moru translations of one.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

SOURCE_LANG = "qke"
TARGET_LANG = "qmo"

Gender = Literal["m", "f"]
# What a noun is decides which verbs and prepositions go with it. The two homonym kinds share their Kel words: such a
# word means one thing after a verb of making and another after a verb of perceiving.
NounKind = Literal["person", "animal", "thing", "building", "landscape", "made_homonym", "seen_homonym"]

NOUN_COUNTS: dict[NounKind, int] = {"person": 8, "animal": 6, "thing": 10, "building": 4, "landscape": 4}
HOMONYM_NOUNS = 4
MAKING_VERBS, SEEING_VERBS, GIVING_VERBS, MOVING_VERBS, HOMONYM_VERBS = 6, 6, 4, 4, 3
ADJECTIVES, MANNERS, TIMES, PREPOSITIONS, HOMONYM_PREPOSITIONS = 10, 5, 5, 2, 2
SYNONYM_EVERY = 3  # every third noun has a southern synonym of its own …
COMPOUND_EVERY = 2  # … and every second of those is of two words
ELABORATE_EVERY = 2  # every second verb has a two-word rendering
NAMES: tuple[tuple[str, Gender], ...] = (
    ("Barko", "m"),
    ("Delvo", "m"),
    ("Tirmo", "m"),
    ("Kalda", "f"),
    ("Mirka", "f"),
    ("Zelna", "f"),
)

NOUN_PLURAL = {"source": "ir", "target": "li"}
VERB_TENSES = {"present": "as", "past": "is"}  # Kel; Moru marks the past with a word of its own
VERB_AGREEMENT = {"m": "in", "f": "an", "plural": "en"}  # Moru, with the subject
ADJECTIVE_AGREEMENT = {"m": "o", "f": "a", "plural": "e"}  # Moru, with the noun
LIGHT_VERBS = ("ter", "hal")

SOURCE_WORDS = {"the": "la", "the_plural": "las", "a": "un", "who": "ke", "to": "al"}
TARGET_WORDS = {
    "the_m": "so",
    "the_f": "sa",
    "the_plural": "se",
    "who": "jõ",
    "to": "mi",
    "past": "des",
    "object": "ve",
    "particle": "nu",
}


@dataclass(frozen=True)
class TargetNoun:
    """A Moru noun: the words before its head (empty unless it is a compound), the head's stem, and its gender."""

    before: tuple[str, ...]
    stem: str
    gender: Gender


@dataclass(frozen=True)
class Noun:
    """A Kel noun in one sense, with its rendering in either dialect of Moru (the same for most)."""

    source: str
    kind: NounKind
    north: TargetNoun
    south: TargetNoun


@dataclass(frozen=True)
class Name:
    """A proper name, the same in both languages."""

    text: str
    gender: Gender


@dataclass(frozen=True)
class Verb:
    """A Kel verb in one sense.

    ``objects`` are the kinds of noun that it takes (none: intransitive); ``elaborate`` is the two-word rendering, a
    fixed word and the stem of a light verb, or None where Moru knows one rendering only.
    """

    source: str
    objects: tuple[NounKind, ...]
    has_recipient: bool
    plain: str
    elaborate: tuple[str, str] | None


@dataclass(frozen=True)
class Adjective:
    """A word of quality; ``target`` is its Moru stem."""

    source: str
    target: str


@dataclass(frozen=True)
class Adverb:
    """A word of time or manner; some are two words in Moru."""

    source: str
    target: tuple[str, ...]


@dataclass(frozen=True)
class Preposition:
    """A Kel preposition in one sense, which the kind of its place decides; Moru has postpositions."""

    source: str
    target: str
    places: tuple[NounKind, ...]


@dataclass(frozen=True)
class Conjunction:
    """Joins two clauses; after a subordinating one Moru orders the clause in another way."""

    source: str
    target: str
    subordinating: bool


@dataclass(frozen=True)
class Lexicon:
    """All words of both languages."""

    nouns: tuple[Noun, ...]
    names: tuple[Name, ...]
    verbs: tuple[Verb, ...]
    adjectives: tuple[Adjective, ...]
    manners: tuple[Adverb, ...]
    times: tuple[Adverb, ...]
    prepositions: tuple[Preposition, ...]
    conjunctions: tuple[Conjunction, ...]

    def ambiguous_source_forms(self) -> frozenset[str]:
        """The Kel words, in every form, that have more than one sense."""
        forms: Counter[str] = Counter()
        for noun in self.nouns:
            forms.update((noun.source, noun.source + NOUN_PLURAL["source"]))
        for verb in self.verbs:
            forms.update(verb.source + ending for ending in VERB_TENSES.values())
        forms.update(preposition.source for preposition in self.prepositions)
        return frozenset(form for form, senses in forms.items() if senses > 1)


class _WordMaker:
    """Makes words of one language from syllables; no word, in any of its forms, is made twice."""

    def __init__(self, seed: str, onsets: str, vowels: str, codas: str, taken: set[str]) -> None:
        self._rng = random.Random(seed)
        self._onsets, self._vowels, self._codas = onsets, vowels, codas
        self._taken = set(taken)

    def word(self, endings: tuple[str, ...] = ("",), syllables: int = 2) -> str:
        """A new stem that gives a new word with each of ``endings``."""
        while True:
            stem = "".join(self._rng.choice(self._onsets) + self._rng.choice(self._vowels) for _ in range(syllables))
            stem += self._rng.choice(self._codas)
            forms = {stem + ending for ending in endings}
            if not forms & self._taken:
                self._taken |= forms
                return stem

    def gender(self) -> Gender:
        return "m" if self._rng.random() < 0.5 else "f"


def _makers() -> tuple[_WordMaker, _WordMaker]:
    light = {stem + ending for stem in LIGHT_VERBS for ending in VERB_AGREEMENT.values()}
    kel = _WordMaker("Kel", "bdfgklmnprstvz", "aeiou", "lmnrst", set(SOURCE_WORDS.values()))
    moru = _WordMaker("Moru", "hjklmnprsštv", "aeiouäõ", "klmnrt", set(TARGET_WORDS.values()) | light)
    return kel, moru


def _nouns(kel: _WordMaker, moru: _WordMaker) -> list[Noun]:
    sources: list[tuple[str, NounKind]] = []
    for kind, count in NOUN_COUNTS.items():
        sources += [(kel.word(("", NOUN_PLURAL["source"])), kind) for _ in range(count)]
    for _ in range(HOMONYM_NOUNS):
        word = kel.word(("", NOUN_PLURAL["source"]))
        sources += [(word, "made_homonym"), (word, "seen_homonym")]

    def target(before: tuple[str, ...]) -> TargetNoun:
        return TargetNoun(before, moru.word(("", NOUN_PLURAL["target"])), moru.gender())

    nouns = []
    for number, (source, kind) in enumerate(sources):
        north = south = target(())
        if number % SYNONYM_EVERY == 0:
            compound = number // SYNONYM_EVERY % COMPOUND_EVERY == 0
            south = target((moru.word(),) if compound else ())
        nouns.append(Noun(source, kind, north, south))
    return nouns


def _verbs(kel: _WordMaker, moru: _WordMaker) -> list[Verb]:
    animate: tuple[NounKind, ...] = ("person", "animal")
    groups: list[tuple[int, list[tuple[NounKind, ...]], bool]] = [
        (MAKING_VERBS, [("thing", "made_homonym")], False),
        (SEEING_VERBS, [(*animate, "thing", "seen_homonym")], False),
        (GIVING_VERBS, [("thing",)], True),
        (MOVING_VERBS, [()], False),
        (HOMONYM_VERBS, [animate, ("thing",)], False),
    ]
    verbs: list[Verb] = []
    for count, senses, has_recipient in groups:
        for _ in range(count):
            source = kel.word(tuple(VERB_TENSES.values()), syllables=1)
            for objects in senses:
                plain = moru.word(tuple(VERB_AGREEMENT.values()))
                elaborate = None
                if len(verbs) % ELABORATE_EVERY == 0:
                    light = LIGHT_VERBS[len(verbs) // ELABORATE_EVERY % len(LIGHT_VERBS)]
                    elaborate = (moru.word(), light)
                verbs.append(Verb(source, objects, has_recipient, plain, elaborate))
    return verbs


def _prepositions(kel: _WordMaker, moru: _WordMaker) -> list[Preposition]:
    places: tuple[NounKind, ...] = ("building", "landscape")
    made = [Preposition(kel.word(syllables=1), moru.word(syllables=1), places) for _ in range(PREPOSITIONS)]
    for _ in range(HOMONYM_PREPOSITIONS):
        source = kel.word(syllables=1)
        made += [Preposition(source, moru.word(syllables=1), (place,)) for place in places]
    return made


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    """The words of both languages: the same at every call and on every machine."""
    kel, moru = _makers()
    return Lexicon(
        nouns=tuple(_nouns(kel, moru)),
        names=tuple(Name(text, gender) for text, gender in NAMES),
        verbs=tuple(_verbs(kel, moru)),
        adjectives=tuple(
            Adjective(kel.word(), moru.word(tuple(ADJECTIVE_AGREEMENT.values()))) for _ in range(ADJECTIVES)
        ),
        manners=tuple(Adverb(kel.word(), (moru.word(),)) for _ in range(MANNERS)),
        times=tuple(
            Adverb(kel.word(), (moru.word(),) if number % 2 else (moru.word(), moru.word())) for number in range(TIMES)
        ),
        prepositions=tuple(_prepositions(kel, moru)),
        conjunctions=(
            Conjunction("e", "ka", False),
            Conjunction("mo", "lõt", False),
            Conjunction("per", "šin", True),
            Conjunction("kan", "olu", True),
        ),
    )
