"""How a meaning is put in Moru, the target language: every valid translation of a sentence, and one drawn at random.

Moru puts the object before the verb, adjectives after nouns and postpositions after places; verbs agree with their
subject and adjectives with their noun. The past word stands second in a main clause, last in a subordinate one
and after the pronoun of a relative one.

Whoever translates is free in five ways (:class:`Style`), each decided once a sentence and held throughout: this is what
makes the corpus multimodal. A translation that begins in one style and goes on in another is wrong, and so is an
adjective or a verb that agrees with the other dialect's synonym. Drawing and enumerating share one table of choices.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

from scripts.lib.languages import (
    ADJECTIVE_AGREEMENT,
    NOUN_PLURAL,
    TARGET_WORDS,
    VERB_AGREEMENT,
    Name,
    TargetNoun,
    Verb,
)
from scripts.lib.meanings import Clause, NounPhrase, Relative, Sentence, written


@dataclass(frozen=True)
class Style:
    """The free choices of one translation.

    Attributes:
        particle: the sentence begins with a particle that means nothing, and all else stands one later.
        south: southern dialect: its own synonyms, of other gender and length, and a marker before definite objects.
        elaborate: verbs that have a two-word rendering are given it.
        fronted: the main clause begins with its adverbial, and not with its subject.
        subordinate_first: the subordinate clause comes before the main clause.
    """

    particle: bool
    south: bool
    elaborate: bool
    fronted: bool
    subordinate_first: bool


# How likely each choice is to be made. Near one half: a teacher's favourite then hangs on details of the sentence, so
# that distilled data, too, keep some of what makes them hard.
STYLE_PROBABILITIES = {"particle": 0.5, "south": 0.4, "elaborate": 0.5, "fronted": 0.3, "subordinate_first": 0.25}
MAX_TRANSLATIONS = 2 ** len(STYLE_PROBABILITIES)


def draw_translation(sentence: Sentence, rng: random.Random) -> str:
    """One valid translation, drawn with its probability."""
    return target_text(sentence, Style(**{name: rng.random() < p for name, p in STYLE_PROBABILITIES.items()}))


def all_translations(sentence: Sentence) -> dict[str, float]:
    """Every valid translation with its probability, the likeliest first; at most :data:`MAX_TRANSLATIONS`.

    Choices that do not bear on this sentence give the same text twice; its probability is then their sum.
    """
    found: dict[str, float] = {}
    for made in itertools.product((False, True), repeat=len(STYLE_PROBABILITIES)):
        choices = dict(zip(STYLE_PROBABILITIES, made, strict=True))
        probability = 1.0
        for name, yes in choices.items():
            probability *= STYLE_PROBABILITIES[name] if yes else 1.0 - STYLE_PROBABILITIES[name]
        text = target_text(sentence, Style(**choices))
        found[text] = found.get(text, 0.0) + probability
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def target_text(sentence: Sentence, style: Style) -> str:
    """The sentence in Moru, in one style."""
    words = _main_clause(sentence.first, style, style.fronted)
    if sentence.conjunction and sentence.second:
        joined = [sentence.conjunction.target]
        if not sentence.conjunction.subordinating:
            words += [",", *joined, *_main_clause(sentence.second, style, fronted=False)]
        else:
            subordinate = [*joined, *_subordinate_clause(sentence.second, style)]
            words = [*subordinate, ",", *words] if style.subordinate_first else [*words, ",", *subordinate]
    return written([TARGET_WORDS["particle"], *words] if style.particle else words)


def _main_clause(clause: Clause, style: Style, fronted: bool) -> list[str]:
    """[adverbial] past subject … when fronted, subject past [adverbial] … when not: the past word stays second."""
    subject, adverbials = _noun_phrase(clause.subject, style), _adverbials(clause, style)
    past = [TARGET_WORDS["past"]] if clause.past else []
    rest = _objects(clause, style) + _predicate(clause, style)
    if fronted and adverbials:
        return [*adverbials[0], *past, *subject, *itertools.chain(*adverbials[1:]), *rest]
    return [*subject, *past, *itertools.chain(*adverbials), *rest]


def _subordinate_clause(clause: Clause, style: Style) -> list[str]:
    words = _noun_phrase(clause.subject, style) + list(itertools.chain(*_adverbials(clause, style)))
    words += _objects(clause, style) + _predicate(clause, style)
    return [*words, TARGET_WORDS["past"]] if clause.past else words


def _adverbials(clause: Clause, style: Style) -> list[list[str]]:
    """Time and place, in this order; the first that there is may be fronted."""
    found = [list(clause.time.target)] if clause.time else []
    if clause.place:
        preposition, place = clause.place
        found.append([*_noun_phrase(place, style), preposition.target])
    return found


def _objects(clause: Clause, style: Style) -> list[str]:
    words = [*_noun_phrase(clause.recipient, style), TARGET_WORDS["to"]] if clause.recipient else []
    return words + _object(clause.object, style)


def _object(phrase: NounPhrase | None, style: Style) -> list[str]:
    if phrase is None:
        return []
    marker = [TARGET_WORDS["object"]] if style.south and phrase.definite else []
    return marker + _noun_phrase(phrase, style)


def _predicate(clause: Clause, style: Style) -> list[str]:
    manner = list(clause.manner.target) if clause.manner else []
    return manner + _verb(clause.verb, clause.subject, style)


def _verb(verb: Verb, subject: NounPhrase, style: Style) -> list[str]:
    ending = VERB_AGREEMENT[_agreement(subject, style)]
    if style.elaborate and verb.elaborate:
        return [verb.elaborate[0], verb.elaborate[1] + ending]
    return [verb.plain + ending]


def _agreement(phrase: NounPhrase, style: Style) -> str:
    """What agrees with the phrase is plural, or has its gender: that of the dialect's noun."""
    return "plural" if phrase.plural else _head(phrase, style).gender


def _head(phrase: NounPhrase, style: Style) -> TargetNoun | Name:
    if isinstance(phrase.head, Name):
        return phrase.head
    return phrase.head.south if style.south else phrase.head.north


def _noun_phrase(phrase: NounPhrase, style: Style) -> list[str]:
    head = _head(phrase, style)
    if isinstance(head, Name):
        return [head.text]
    agreement = _agreement(phrase, style)
    words = [TARGET_WORDS["the_plural" if phrase.plural else f"the_{head.gender}"]] if phrase.definite else []
    words += [*head.before, head.stem + (NOUN_PLURAL["target"] if phrase.plural else "")]
    if phrase.adjective:
        words.append(phrase.adjective.target + ADJECTIVE_AGREEMENT[agreement])
    if phrase.relative:
        words += _relative(phrase.relative, phrase, style)
    return words


def _relative(relative: Relative, subject: NounPhrase, style: Style) -> list[str]:
    past = [TARGET_WORDS["past"]] if relative.past else []
    return [TARGET_WORDS["who"], *past, *_object(relative.object, style), *_verb(relative.verb, subject, style)]
