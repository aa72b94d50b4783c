"""How good a set of translations is: BLEU and chrF by sacreBLEU, length, repetitions and empty outputs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.metrics import BLEU, CHRF

from nat_plugin.analysis.repetition import count_repetitions
from nat_plugin.errors import UserError

# On its own logger sacreBLEU says again what our UserErrors say, and warns about tokenised text that is meant so.
logging.getLogger("sacrebleu").setLevel(logging.ERROR)

_REMEDIES = {
    "ja-mecab": "install MeCab with its IPA dictionary: pip install '.[ja]'",
    "ko-mecab": "install MeCab for Korean: pip install 'sacrebleu[ko]'",
}


@dataclass(frozen=True)
class TokenizedText:
    """Hypotheses and references as they were prepared for the model, subwords joined: tokens separated by spaces."""

    hypotheses: Sequence[str]
    references: Sequence[Sequence[str]]
    """One sequence a reference file, each as long as the hypotheses."""
    are_words: bool = True
    """Whether the tokens are words, in which repetitions can be counted: not characters or subwords."""


@dataclass(frozen=True)
class Scores:
    """All figures of one set of translations."""

    bleu: float
    """sacreBLEU, 0 to 100, on detokenised text; case counts."""
    chrf: float
    """sacreBLEU's chrF2, 0 to 100."""
    tokenized_bleu: float | None
    """BLEU over the prepared words just as they are, the older papers' figure; None where there are none."""
    tokenized_bleu_uncased: float | None
    brevity_penalty: float
    """BLEU's: 1 where the output is at least as long as the references."""
    length_ratio: float
    """Output tokens / closest reference tokens, as BLEU's tokeniser counts them."""
    repeated_tokens: float
    """Share of words equal to the word just before (0 to 1): Table 9 of Ghazvininejad et al. 2020, divided by 100."""
    repetitions_per_sentence: float
    """Mean number of such words a sentence: Table 3 of Guo et al. 2020."""
    empty_outputs: float
    """Share of translations without any word."""
    sentences: int
    references: int
    signature: str
    """sacreBLEU's signature of ``bleu``."""
    chrf_signature: str
    tokenized_signature: str | None
    """sacreBLEU's signature of ``tokenized_bleu``."""
    words: str
    """What ``repeated_tokens`` counts: ``prepared``, or the sacreBLEU tokeniser that split the text."""


def default_tokenizer(language: str | None) -> str:
    """sacreBLEU's tokeniser for a language: ``zh`` for Chinese, ``ja-mecab`` for Japanese, ``ko-mecab`` for Korean,
    else ``13a``. A region, as in ``zh_CN``, is ignored."""
    code = (language or "").replace("_", "-").split("-")[0].lower()
    return {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}.get(code, "13a")


def bleu_metric(tokenizer: str) -> BLEU:
    """sacreBLEU's BLEU with one of its tokenisers.

    Raises:
        UserError: sacreBLEU has no such tokeniser, or what it needs is not installed.
    """
    if tokenizer not in BLEU.TOKENIZERS:
        raise UserError(
            f"sacreBLEU has no tokenizer '{tokenizer}': --tokenize takes one of {', '.join(sorted(BLEU.TOKENIZERS))}."
        )
    try:
        return BLEU(tokenize=tokenizer)
    except Exception as error:  # a missing package, dictionary or download: sacreBLEU has no class of its own for it
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        remedy = _REMEDIES.get(tokenizer, "install what it needs or choose another with --tokenize")
        raise UserError(f"sacreBLEU's tokenizer '{tokenizer}' cannot be used ({reason}): {remedy}.") from error


def score(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    tokenizer: str = "13a",
    tokenized: TokenizedText | None = None,
) -> Scores:
    """Score detokenised translations.

    Args:
        hypotheses: one string a sentence.
        references: one sequence a reference file, each as long as ``hypotheses``.
        tokenizer: any of sacreBLEU's.
        tokenized: the same sentences in tokens, for tokenised BLEU and for counting repetitions. Where there are none,
            or they are no words, repetitions are counted over what ``tokenizer`` makes of the text.

    Raises:
        UserError: no sentences, no references, sequences of unequal length, or a tokeniser that cannot be used.
    """
    _check_lengths(hypotheses, references)
    if tokenized is not None:
        _check_lengths(hypotheses, [tokenized.hypotheses, *tokenized.references])
    metric, chrf = bleu_metric(tokenizer), CHRF()
    bleu_score = metric.corpus_score(hypotheses, references)
    chrf_score = chrf.corpus_score(hypotheses, references)
    cased, uncased = BLEU(tokenize="none", force=True), BLEU(tokenize="none", force=True, lowercase=True)
    prepared = tokenized is not None and tokenized.are_words
    words = tokenized.hypotheses if tokenized and prepared else [metric.tokenizer(line) for line in hypotheses]
    repetitions = count_repetitions(line.split() for line in words)
    return Scores(
        bleu=bleu_score.score,
        chrf=chrf_score.score,
        tokenized_bleu=cased.corpus_score(tokenized.hypotheses, tokenized.references).score if tokenized else None,
        tokenized_bleu_uncased=(
            uncased.corpus_score(tokenized.hypotheses, tokenized.references).score if tokenized else None
        ),
        brevity_penalty=bleu_score.bp,
        length_ratio=bleu_score.ratio,
        repeated_tokens=repetitions.share,
        repetitions_per_sentence=repetitions.per_sentence,
        empty_outputs=sum(not line.strip() for line in hypotheses) / len(hypotheses),
        sentences=len(hypotheses),
        references=len(references),
        signature=str(metric.get_signature()),
        chrf_signature=str(chrf.get_signature()),
        tokenized_signature=str(cased.get_signature()) if tokenized else None,
        words="prepared" if prepared else tokenizer,
    )


def copied_share(text: Sequence[str], sources: Sequence[str]) -> float:
    """Share of outputs that are the source itself: words that were not translated, or data in the wrong direction."""
    return sum(line.strip() == source.strip() for line, source in zip(text, sources, strict=True)) / len(text)


def _check_lengths(hypotheses: Sequence[str], others: Sequence[Sequence[str]]) -> None:
    if not hypotheses:
        raise UserError("there are no translations to score: check the input.")
    if not others:
        raise UserError("there are no references to score against: give at least one.")
    for number, lines in enumerate(others, start=1):
        if len(lines) != len(hypotheses):
            raise UserError(
                f"there are {len(hypotheses)} translations but {len(lines)} lines in reference {number}: "
                "they must be of the same sentences."
            )
