"""What is said: the meaning of a sentence as a small tree, how one is drawn, and how it is put in Kel, the source.

Kel puts adjectives before nouns and the verb between subject and object (``La rapid kanor botas un melt.``). A meaning
has exactly one Kel sentence; its Moru translations are many (see ``renderings``).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from scripts.lib.languages import (
    NOUN_PLURAL,
    SOURCE_WORDS,
    VERB_TENSES,
    Adjective,
    Adverb,
    Conjunction,
    Lexicon,
    Name,
    Noun,
    NounKind,
    Preposition,
    Verb,
)

# How often each optional part is there; together they give Kel sentences of about 5 to 35 tokens.
NAMED_SUBJECT = 0.15
PLURAL = 0.3
DEFINITE_OBJECT = 0.6
ADJECTIVE = 0.25
RELATIVE_CLAUSE = 0.1
PAST = 0.4
TIME = 0.4
TIME_FIRST_IN_SOURCE = 0.5
PLACE = 0.25
MANNER = 0.25
SECOND_CLAUSE = 0.35

T = TypeVar("T")


@dataclass(frozen=True)
class Relative:
    """A relative clause whose subject is the noun it belongs to."""

    verb: Verb
    past: bool
    object: NounPhrase | None


@dataclass(frozen=True)
class NounPhrase:
    """A noun or a name with what belongs to it; a name is neither plural nor has it an adjective."""

    head: Noun | Name
    plural: bool = False
    definite: bool = True
    adjective: Adjective | None = None
    relative: Relative | None = None


@dataclass(frozen=True)
class Clause:
    """One verb with its subject, object, recipient and adverbials."""

    subject: NounPhrase
    verb: Verb
    past: bool
    object: NounPhrase | None
    recipient: NounPhrase | None
    manner: Adverb | None
    time: Adverb | None
    time_first: bool
    place: tuple[Preposition, NounPhrase] | None


@dataclass(frozen=True)
class Sentence:
    """One clause, or two with a conjunction between them."""

    first: Clause
    conjunction: Conjunction | None = None
    second: Clause | None = None


class _Drawer:
    """Draws one sentence; a word is used once in it, so that no valid translation repeats one by chance."""

    def __init__(self, words: Lexicon, rng: random.Random) -> None:
        self._words, self._rng = words, rng
        self._used: set[str] = set()

    def sentence(self) -> Sentence:
        first = self._clause()
        if not self._happens(SECOND_CLAUSE):
            return Sentence(first)
        return Sentence(first, self._rng.choice(self._words.conjunctions), self._clause())

    def _happens(self, probability: float) -> bool:
        return self._rng.random() < probability

    def _new(self, candidates: Sequence[T], word: str = "source") -> T:
        """One of the candidates whose Kel word has not been used in this sentence."""
        chosen = self._rng.choice([entry for entry in candidates if getattr(entry, word) not in self._used])
        self._used.add(getattr(chosen, word))
        return chosen

    def _clause(self) -> Clause:
        verb = self._new(self._words.verbs)
        place = None
        if self._happens(PLACE):
            preposition = self._new(self._words.prepositions)
            place = (preposition, self._noun_phrase(preposition.places))
        return Clause(
            subject=self._subject(),
            verb=verb,
            past=self._happens(PAST),
            object=self._object(verb),
            recipient=self._noun_phrase(("person",)) if verb.has_recipient else None,
            manner=self._new(self._words.manners) if self._happens(MANNER) else None,
            time=self._new(self._words.times) if self._happens(TIME) else None,
            time_first=self._happens(TIME_FIRST_IN_SOURCE),
            place=place,
        )

    def _subject(self) -> NounPhrase:
        if self._happens(NAMED_SUBJECT):
            return NounPhrase(self._new(self._words.names, "text"))
        return self._noun_phrase(("person", "animal"), may_have_relative=True)

    def _object(self, verb: Verb) -> NounPhrase | None:
        if not verb.objects:
            return None
        return self._noun_phrase(verb.objects, self._happens(DEFINITE_OBJECT))

    def _noun_phrase(
        self, kinds: tuple[NounKind, ...], definite: bool = True, may_have_relative: bool = False
    ) -> NounPhrase:
        noun = self._new([noun for noun in self._words.nouns if noun.kind in kinds])
        relative = None
        if may_have_relative and self._happens(RELATIVE_CLAUSE):
            verb = self._new([verb for verb in self._words.verbs if not verb.has_recipient])
            relative = Relative(verb, self._happens(PAST), self._object(verb))
        return NounPhrase(
            head=noun,
            plural=self._happens(PLURAL),
            definite=definite,
            adjective=self._new(self._words.adjectives) if self._happens(ADJECTIVE) else None,
            relative=relative,
        )


def draw_sentence(words: Lexicon, rng: random.Random) -> Sentence:
    """Draw what is to be said."""
    return _Drawer(words, rng).sentence()


def written(words: Sequence[str]) -> str:
    """The words as text: a capital first, commas joined to the word before, a full stop at the end."""
    text = " ".join(words).replace(" ,", ",")
    return text[0].upper() + text[1:] + "."


def source_text(sentence: Sentence) -> str:
    """The sentence in Kel."""
    words = _clause_words(sentence.first)
    if sentence.conjunction and sentence.second:
        words += [",", sentence.conjunction.source, *_clause_words(sentence.second)]
    return written(words)


def _clause_words(clause: Clause) -> list[str]:
    words = _phrase_words(clause.subject)
    if clause.manner:
        words.append(clause.manner.source)
    words.append(_verb_word(clause.verb, clause.past))
    if clause.object:
        words += _phrase_words(clause.object)
    if clause.recipient:
        words += [SOURCE_WORDS["to"], *_phrase_words(clause.recipient)]
    if clause.place:
        words += [clause.place[0].source, *_phrase_words(clause.place[1])]
    if clause.time:
        words = [clause.time.source, *words] if clause.time_first else [*words, clause.time.source]
    return words


def _verb_word(verb: Verb, past: bool) -> str:
    return verb.source + VERB_TENSES["past" if past else "present"]


def _phrase_words(phrase: NounPhrase) -> list[str]:
    if isinstance(phrase.head, Name):
        return [phrase.head.text]
    words = []
    if phrase.definite:
        words.append(SOURCE_WORDS["the_plural" if phrase.plural else "the"])
    elif not phrase.plural:
        words.append(SOURCE_WORDS["a"])
    if phrase.adjective:
        words.append(phrase.adjective.source)
    words.append(phrase.head.source + (NOUN_PLURAL["source"] if phrase.plural else ""))
    if phrase.relative:
        words += [SOURCE_WORDS["who"], _verb_word(phrase.relative.verb, phrase.relative.past)]
        if phrase.relative.object:
            words += _phrase_words(phrase.relative.object)
    return words
