"""The generated corpus: the two languages, the valid translations, and the files that the script writes."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from nat_plugin.errors import UserError
from scripts.generate_corpus import draw_corpus, main, reference_files, tokens
from scripts.lib.languages import ADJECTIVE_AGREEMENT, NOUN_PLURAL, VERB_AGREEMENT, VERB_TENSES, Noun, lexicon
from scripts.lib.meanings import Clause, NounPhrase, Sentence, draw_sentence, source_text
from scripts.lib.renderings import (
    MAX_TRANSLATIONS,
    STYLE_PROBABILITIES,
    Style,
    all_translations,
    draw_translation,
    target_text,
)

PLAIN = Style(**dict.fromkeys(STYLE_PROBABILITIES, False))


def some_sentences(count: int, seed: int = 3) -> list[Sentence]:
    rng = random.Random(seed)
    return [draw_sentence(lexicon(), rng) for _ in range(count)]


def noun(kind: str, *, synonym: bool = False) -> Noun:
    return next(entry for entry in lexicon().nouns if entry.kind == kind and (entry.north != entry.south) == synonym)


def clause(**parts: Any) -> Clause:
    """A clause with a moving verb of one rendering and nothing else but what is given."""
    verb = next(verb for verb in lexicon().verbs if not verb.objects and verb.elaborate is None)
    bare = Clause(
        subject=NounPhrase(noun("person")),
        verb=verb,
        past=False,
        object=None,
        recipient=None,
        manner=None,
        time=None,
        time_first=False,
        place=None,
    )
    return dataclasses.replace(bare, **parts)


# The languages


def test_no_word_form_has_two_meanings_but_the_homonyms() -> None:
    words = lexicon()
    adverbs = [*words.manners, *words.times]
    uninflected = {
        *(adjective.source for adjective in words.adjectives),
        *(adverb.source for adverb in adverbs),
        *(preposition.source for preposition in words.prepositions),
    }
    source = Counter(
        form
        for stems, endings in [
            ({entry.source for entry in words.nouns}, ("", NOUN_PLURAL["source"])),
            ({entry.source for entry in words.verbs}, tuple(VERB_TENSES.values())),
            (uninflected, ("",)),
        ]
        for stem in stems
        for form in (stem + ending for ending in endings)
    )
    target_nouns = {side for entry in words.nouns for side in (entry.north, entry.south)}
    target = Counter(
        form
        for stems, endings in [
            ([side.stem for side in target_nouns], ("", NOUN_PLURAL["target"])),
            ([entry.plain for entry in words.verbs], tuple(VERB_AGREEMENT.values())),
            ([entry.target for entry in words.adjectives], tuple(ADJECTIVE_AGREEMENT.values())),
            ([word for side in target_nouns for word in side.before], ("",)),
            ([entry.elaborate[0] for entry in words.verbs if entry.elaborate], ("",)),
            ([word for entry in adverbs for word in entry.target], ("",)),
            ([entry.target for entry in words.prepositions], ("",)),
        ]
        for stem in stems
        for form in (stem + ending for ending in endings)
    )
    assert max(source.values()) == 1
    assert max(target.values()) == 1


def test_homonyms_are_told_apart_by_their_context() -> None:
    """Where two meanings share a source sentence, they share their translations: the source says all that is needed."""
    translations: dict[str, dict[str, float]] = {}
    sentences = some_sentences(8000)
    for sentence in sentences:
        source = source_text(sentence)
        if source in translations:
            assert all_translations(sentence) == translations[source]
        elif len(source) < 40:  # only short sentences come twice
            translations[source] = all_translations(sentence)
    assert len(translations) < sum(len(source_text(sentence)) < 40 for sentence in sentences)


def test_a_homonym_noun_is_rendered_by_the_verb_that_takes_it() -> None:
    words = lexicon()
    made = noun("made_homonym")
    seen = next(entry for entry in words.nouns if entry.source == made.source and entry.kind == "seen_homonym")
    for sense, other in ((made, seen), (seen, made)):
        verbs = [verb for verb in words.verbs if sense.kind in verb.objects]
        assert verbs
        assert not any(other.kind in verb.objects for verb in verbs)
        text = target_text(Sentence(clause(verb=verbs[0], object=NounPhrase(sense))), PLAIN)
        assert sense.north.stem in text
        assert other.north.stem not in text


def test_the_verb_agrees_with_the_noun_of_the_dialect() -> None:
    changing = next(
        entry
        for entry in lexicon().nouns
        if entry.kind in ("person", "animal") and entry.north.gender != entry.south.gender
    )
    adjective = lexicon().adjectives[0]
    sentence = Sentence(clause(subject=NounPhrase(changing, adjective=adjective)))
    for south, side in ((False, changing.north), (True, changing.south)):
        style = Style(**dict.fromkeys(STYLE_PROBABILITIES, False) | {"south": south})
        words = tokens(target_text(sentence, style))
        assert words[0] == {"m": "So", "f": "Sa"}[side.gender]
        assert adjective.target + ADJECTIVE_AGREEMENT[side.gender] in words
        assert words[-2].endswith(VERB_AGREEMENT[side.gender])


@pytest.mark.parametrize("name", list(STYLE_PROBABILITIES))
def test_each_choice_changes_some_sentences(name: str) -> None:
    chosen = Style(**dict.fromkeys(STYLE_PROBABILITIES, False) | {name: True})
    sentences = some_sentences(100)
    changed = [target_text(sentence, chosen) != target_text(sentence, PLAIN) for sentence in sentences]
    assert any(changed)


def test_fronting_moves_the_adverbial_and_keeps_the_past_word_second() -> None:
    time = lexicon().times[0]
    sentence = Sentence(clause(time=time, past=True))
    fronted = Style(**dict.fromkeys(STYLE_PROBABILITIES, False) | {"fronted": True})
    plain_words = target_text(sentence, PLAIN).lower().rstrip(".").split()
    fronted_words = target_text(sentence, fronted).lower().rstrip(".").split()
    adverbial = list(time.target)
    subject = plain_words[: plain_words.index("des")]
    assert plain_words[: len(subject) + 1 + len(adverbial)] == [*subject, "des", *adverbial]
    assert fronted_words[: len(subject) + 1 + len(adverbial)] == [*adverbial, "des", *subject]
    assert sorted(plain_words) == sorted(fronted_words)


# Valid translations


def test_probabilities_sum_to_one_and_the_number_is_bounded() -> None:
    counts = []
    for sentence in some_sentences(300):
        translations = all_translations(sentence)
        assert sum(translations.values()) == pytest.approx(1.0)
        assert list(translations.values()) == sorted(translations.values(), reverse=True)
        counts.append(len(translations))
    assert max(counts) == MAX_TRANSLATIONS <= 48
    assert min(counts) >= 1


def test_what_is_drawn_is_valid_and_as_frequent_as_its_probability() -> None:
    """Chi-squared over all outcomes of one rich sentence, at a level that a right generator misses once in 10,000 seeds
    (and the seed is fixed)."""
    from scipy.stats import chisquare

    rng = random.Random(11)
    for sentence in some_sentences(200):
        assert draw_translation(sentence, rng) in all_translations(sentence)
    rich = max(some_sentences(200), key=lambda sentence: len(all_translations(sentence)))
    expected = all_translations(rich)
    drawn = Counter(draw_translation(rich, rng) for _ in range(6000))
    assert set(drawn) <= set(expected)
    observed = [drawn[text] for text in expected]
    assert chisquare(observed, [6000 * probability for probability in expected.values()]).pvalue > 1e-4


def test_text_is_capitalised_punctuated_and_never_repeats_a_word_at_once() -> None:
    for sentence in some_sentences(400):
        for text in (source_text(sentence), *all_translations(sentence)):
            assert text[0].isupper()
            assert text.endswith(".")
            assert text == " ".join(text.split())
            words = tokens(text.lower())
            assert not any(first == second for first, second in itertools.pairwise(words)), text


# The files


def read(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def generate(out: Path, seed: int = 1) -> dict[str, list[str]]:
    main([str(out), "--train", "300", "--valid", "20", "--test", "40", "--seed", str(seed)])
    return {path.name: read(path) for path in sorted(out.iterdir())}


def test_files_are_aligned_and_reproducible(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = generate(tmp_path / "a")
    assert "at most" in capsys.readouterr().out
    for split, count in (("train", 300), ("valid", 20), ("test", 40)):
        assert len(files[f"{split}.qke"]) == len(files[f"{split}.qmo"]) == count
    held_out = set(files["valid.qke"]) | set(files["test.qke"])
    assert len(held_out) == 60
    assert not held_out & set(files["train.qke"])
    assert any(re.search("[õäš]", line) for line in files["train.qmo"])
    again = generate(tmp_path / "b")
    different = generate(tmp_path / "c", seed=2)
    without_command = {name: lines for name, lines in files.items() if name != "corpus.json"}
    assert all(again[name] == lines for name, lines in without_command.items())
    assert different["train.qke"] != files["train.qke"]


def test_references_are_all_valid_translations_and_the_first_is_the_drawn_one(tmp_path: Path) -> None:
    files = generate(tmp_path)
    listed = [json.loads(line) for line in files["test.all.jsonl"]]
    most = max(len(entry["translations"]) for entry in listed)
    names = ["test.qmo", *(f"test.qmo.{number}" for number in range(1, most))]
    assert {name for name in files if name.startswith("test.qmo")} == set(names)
    columns = list(zip(*(files[name] for name in names), strict=True))
    assert [entry["source"] for entry in listed] == files["test.qke"]
    for entry, references in zip(listed, columns, strict=True):
        texts = [translation["text"] for translation in entry["translations"]]
        assert set(references) == set(texts)
        assert references[: len(texts)] == references[len(texts) : 2 * len(texts)] or len(texts) * 2 > most
        assert sum(translation["probability"] for translation in entry["translations"]) == pytest.approx(1.0)


def test_reference_files_begin_with_the_drawn_translation_and_repeat_cyclically() -> None:
    valid = [{"a": 0.5, "b": 0.25, "c": 0.25}, {"d": 1.0}, {"e": 0.6, "f": 0.4}]
    assert reference_files(["b", "d", "e"], valid) == [["b", "d", "e"], ["a", "d", "f"], ["c", "d", "e"]]


def test_an_earlier_corpus_leaves_no_references_behind(tmp_path: Path) -> None:
    (tmp_path / "test.qmo.47").write_text("stale\n", encoding="utf-8")
    (tmp_path / "test.qmo.notes").write_text("kept\n", encoding="utf-8")
    files = generate(tmp_path)
    assert "test.qmo.47" not in files
    assert files["test.qmo.notes"] == ["kept"]


def test_statistics_are_those_of_the_files(tmp_path: Path) -> None:
    files = generate(tmp_path)
    figures = json.loads("\n".join(files["corpus.json"]))["statistics"]
    lines = files["train.qke"] + files["valid.qke"] + files["test.qke"]
    sentences = [re.sub(r"([,.])", r" \1", line).split() for line in lines]
    side = figures["languages"]["qke"]
    assert side["tokens"] == sum(map(len, sentences))
    assert side["types"] == len({word.lower() for sentence in sentences for word in sentence})
    assert side["longest"] == max(map(len, sentences))
    assert figures["source_sentences_of_valid_or_test_in_train"] == 0
    assert 0 < figures["ambiguous_source_tokens"] < 0.2
    numbers = [len(json.loads(line)["translations"]) for line in files["test.all.jsonl"]]
    assert figures["valid_translations_of_a_test_sentence"]["mean"] == pytest.approx(sum(numbers) / len(numbers))


# Mistakes


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_an_empty_split_is_refused(tmp_path: Path, split: str) -> None:
    with pytest.raises(UserError, match=f"--{split} is 0"):
        main([str(tmp_path / "out"), f"--{split}", "0"])
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("not a folder", encoding="utf-8")
    with pytest.raises(UserError, match="is a file"):
        main([str(tmp_path / "out"), "--train", "5", "--valid", "1", "--test", "1"])


def test_too_many_sentences_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    only = some_sentences(1)[0]
    monkeypatch.setattr("scripts.generate_corpus.draw_sentence", lambda words, rng: only)
    with pytest.raises(UserError, match="none that is new"):
        draw_corpus({"train": 2}, seed=1)
