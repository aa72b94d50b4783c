"""scripts/lib/scoring.py against sacreBLEU called directly, and against figures worked out by hand."""

from __future__ import annotations

import math

import pytest
import sacrebleu
from sacrebleu.tokenizers import tokenizer_ja_mecab

from nat_plugin.errors import UserError
from scripts.lib.scoring import TokenizedText, bleu_metric, copied_share, default_tokenizer, score

HYPOTHESES = ["The cat sat on the mat.", "He said: “no”!", "A dog, it seems, barks at night."]
REFERENCES = [
    ["The cat sat on a mat.", "She said: “no”!", "It seems that a dog barks at night."],
    ["A cat was sitting on the mat.", "He said no!", "A dog, it seems, barks by night."],
]


@pytest.mark.parametrize("tokenizer", ["13a", "intl", "zh", "char", "none", "ja-mecab"])
@pytest.mark.parametrize("references", [REFERENCES[:1], REFERENCES])
def test_bleu_and_chrf_are_sacrebleus(tokenizer: str, references: list[list[str]]) -> None:
    if tokenizer == "ja-mecab":
        pytest.importorskip("ipadic")
    scores = score(HYPOTHESES, references, tokenizer=tokenizer)
    expected = sacrebleu.corpus_bleu(HYPOTHESES, references, tokenize=tokenizer)
    assert scores.bleu == expected.score
    assert scores.brevity_penalty == expected.bp
    assert scores.length_ratio == expected.sys_len / expected.ref_len
    assert scores.chrf == sacrebleu.corpus_chrf(HYPOTHESES, references).score
    assert scores.signature.startswith(f"nrefs:{len(references)}|case:mixed|eff:no|tok:{tokenizer}")
    assert scores.chrf_signature.startswith(f"nrefs:{len(references)}|case:mixed|eff:yes|nc:6|nw:0|")
    assert (scores.sentences, scores.references) == (3, len(references))


def test_brevity_penalty_by_hand() -> None:
    scores = score(["a b c d"], [["a b c d e"]])
    assert scores.brevity_penalty == pytest.approx(math.exp(1 - 5 / 4))
    assert scores.bleu == pytest.approx(100 * math.exp(1 - 5 / 4))  # every n-gram is right
    assert scores.length_ratio == pytest.approx(4 / 5)


def test_the_closest_of_several_references_gives_the_length() -> None:
    scores = score(["a b c d"], [["a b c d e f g"], ["a b c d"]])
    assert (scores.brevity_penalty, scores.length_ratio, scores.bleu) == (1.0, 1.0, pytest.approx(100))


def test_tokenised_bleu_takes_the_tokens_as_they_are_cased_and_uncased() -> None:
    hypotheses, references = ["Der Hund &quot; schläft nicht ."], ["der Hund &quot; schläft nicht ."]
    scores = score(["anything"], [["else"]], tokenized=TokenizedText(hypotheses, [references]))
    assert scores.tokenized_bleu_uncased == pytest.approx(100)
    # By hand: 5/6 unigrams, 4/5 bigrams, 3/4 trigrams and 2/3 4-grams are right.
    assert scores.tokenized_bleu == pytest.approx(100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25)
    assert scores.tokenized_signature is not None
    assert "|tok:none|" in scores.tokenized_signature


def test_repetitions_are_counted_in_prepared_words() -> None:
    tokenized = TokenizedText(["so so gut .", "ja ja ja"], [["x", "y"]])
    scores = score(["so so gut.", "ja ja ja"], [["x", "y"]], tokenized=tokenized)
    assert scores.repeated_tokens == 3 / 7
    assert scores.repetitions_per_sentence == 3 / 2
    assert scores.words == "prepared"


def test_repetitions_in_text_without_words_are_counted_as_the_tokenizer_splits_it() -> None:
    pieces = TokenizedText(["▁我 我们 ▁去"], [["▁我们 ▁去"]], are_words=False)
    scores = score(["我我们去"], [["我们去"]], tokenizer="zh", tokenized=pieces)
    assert (scores.repeated_tokens, scores.words) == (1 / 4, "zh")
    assert scores.tokenized_bleu is not None


def test_empty_outputs_are_counted_and_score_nothing() -> None:
    scores = score(["", "  ", "a", ""], [["a", "a", "a", "a"]])
    assert scores.empty_outputs == 3 / 4
    assert score(["", ""], [["a b", "c"]]).bleu == 0.0


def test_copied_share() -> None:
    assert copied_share(["a b", "c ", "d"], ["a b", "c", "e"]) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("language", "tokenizer"),
    [("de", "13a"), ("zh", "zh"), ("zh_CN", "zh"), ("ja", "ja-mecab"), ("ko", "ko-mecab"), (None, "13a")],
)
def test_default_tokenizers(language: str | None, tokenizer: str) -> None:
    assert default_tokenizer(language) == tokenizer


def test_mecab_that_is_not_installed_is_one_sentence_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_ja_mecab, "MeCab", None)
    with pytest.raises(UserError, match=r"'ja-mecab' cannot be used .* pip install '\.\[ja\]'") as caught:
        bleu_metric("ja-mecab")
    assert "\n" not in str(caught.value)


def test_tokenizer_that_needs_a_download_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(self: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_spm.Flores200Tokenizer.__init__", no_network)
    with pytest.raises(UserError, match=r"'flores200' cannot be used \(no network\): .* --tokenize"):
        bleu_metric("flores200")


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        ([], [[]], "no translations to score"),
        (["a"], [], "no references"),
        (["a", "b"], [["a", "b"], ["a"]], "2 translations but 1 lines in reference 2"),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(
    hypotheses: list[str], references: list[list[str]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        score(hypotheses, references)


def test_tokens_of_other_sentences_are_refused() -> None:
    with pytest.raises(UserError, match="1 translations but 2 lines"):
        score(["a"], [["a"]], tokenized=TokenizedText(["a"], [["a", "b"]]))
