"""Proxy targets as text, and how near they are to people's translations (Huang et al. 2022, Eq. 14 and Figure 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sacrebleu.metrics import BLEU

from nat_plugin.errors import UserError
from scripts.lib.generation import displayed_path
from scripts.lib.prepared_data import PreparedData, read_text
from scripts.lib.scoring import bleu_metric


@dataclass(frozen=True)
class References:
    """What people say.

    Attributes:
        texts: one sequence a reference, untokenised.
        names: where each is from.
        only: whether it is the one translation there is, which the proxy targets of raw data are themselves.
    """

    texts: list[list[str]]
    names: list[str]
    only: bool

    @classmethod
    def load(cls, data: PreparedData, split: str, files: Sequence[Path] | None) -> References:
        """``files``; or else the data folder's references but the first, which is the target; or else that one.

        Raises:
            UserError: a file is missing, or has not a line for each sentence.
        """
        own = data.references(split)
        if files:
            texts, names = [read_text(path) for path in files], [displayed_path(path) for path in files]
            for lines, name in zip(texts, names, strict=True):
                if len(lines) != len(own[0]):
                    raise UserError(
                        f"{name} has {len(lines)} lines, but split '{split}' has {len(own[0])} sentences: line n must "
                        "be a translation of sentence n."
                    )
            return cls(texts, names, only=False)
        further = own[1:] or own
        first = data.folder / "raw" / f"{split}.{data.target_lang}"
        numbered = [f"{displayed_path(first)}.{number}" for number in range(1, len(own))] or [displayed_path(first)]
        return cls(further, numbered, only=len(own) == 1)


class SentenceBleu:
    """sacreBLEU's sentence BLEU, 0 to 100, with effective order: short sentences have no 4-grams.

    Args:
        tokenizer: any of sacreBLEU's.

    Raises:
        UserError: it cannot be used.
    """

    def __init__(self, tokenizer: str) -> None:
        bleu_metric(tokenizer)
        self._metric = BLEU(tokenize=tokenizer, effective_order=True)

    def mean(self, texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
        """The mean of S(Y, T) over sentences and references, each reference alone: E over Y as in Eq. 14.

        Args:
            texts: T, one a sentence.
            references: Y, one sequence a reference.
        """
        scores = [
            self._metric.sentence_score(text, [reference]).score
            for lines in references
            for text, reference in zip(texts, lines, strict=True)
        ]
        return sum(scores) / len(scores)

    @property
    def signature(self) -> str:
        """sacreBLEU's, of the last call of :meth:`mean`."""
        return str(self._metric.get_signature())


def distances(
    metric: SentenceBleu, raw: Sequence[str], distilled: Sequence[str] | None, references: References
) -> dict[str, float]:
    """Figure 6: how near raw data, a teacher's translations and references are, as mean sentence BLEU of each pair.

    Where the only reference is the raw data there is nothing to compare with references. ``among_references`` is over
    all ordered pairs of them.
    """
    found = {}
    if not references.only:
        found["raw_to_references"] = metric.mean(raw, references.texts)
        if distilled is not None:
            found["distilled_to_references"] = metric.mean(distilled, references.texts)
    if distilled is not None:
        found["distilled_to_raw"] = metric.mean(distilled, [raw])
    count = len(references.texts)
    if count > 1:
        pairs = [
            metric.mean(references.texts[one], [references.texts[other]])
            for one in range(count)
            for other in range(count)
            if one != other
        ]
        found["among_references"] = sum(pairs) / len(pairs)
    return found
