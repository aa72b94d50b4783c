"""Which sentences to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scripts.lib.report.samples import choose_sentences, parse_sentences, sentence_bleu


@dataclass(frozen=True)
class Choice:
    """What was asked for: one of these.

    Attributes:
        sentences: ``3,17``, numbers from 1.
        worst: so many of the lowest mean sentence BLEU over the systems.
        longest: so many of the most source words.
        differ: so many, short to long, on which the systems differ most.
    """

    sentences: str | None = None
    worst: int | None = None
    longest: int | None = None
    differ: int | None = None

    @property
    def needs_translations(self) -> bool:
        """Whether the whole split has to be translated."""
        return self.worst is not None or self.differ is not None

    def places(
        self, sources: Sequence[str], references: Sequence[Sequence[str]], translations: Sequence[Sequence[str]]
    ) -> list[int]:
        """Places in the split, from 0.

        Args:
            sources: untokenised.
            references: one list a reference file.
            translations: one list a system; needed where :attr:`needs_translations`.

        Raises:
            UserError: ``sentences`` is no list of numbers, or there is no such sentence.
        """
        if self.sentences is not None:
            return parse_sentences(self.sentences, len(sources))
        everywhere = range(len(sources))
        if self.longest is not None:
            return sorted(everywhere, key=lambda place: (-len(sources[place].split()), place))[: self.longest]
        if self.worst is not None:
            scores = [sentence_bleu(lines, references) for lines in translations]
            return sorted(everywhere, key=lambda place: (sum(of[place] for of in scores), place))[: self.worst]
        return choose_sentences(translations, references, self.differ or 0)
