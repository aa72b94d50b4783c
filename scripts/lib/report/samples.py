"""Which sentences are worth looking at."""

from __future__ import annotations

from collections.abc import Sequence

from sacrebleu.metrics import BLEU

from nat_plugin.errors import UserError


def choose_sentences(
    translations: Sequence[Sequence[str]], references: Sequence[Sequence[str]], count: int
) -> list[int]:
    """Sentences on which the systems differ most, spread over short and long ones.

    The sentences are cut into ``count`` groups by the length of their first reference; of each group the one is taken
    whose best and worst translation differ most in sentence BLEU. Without a difference it is the group's first.

    Args:
        translations: one list a system, one detokenised line a sentence.
        references: one list a reference file.

    Returns:
        Their places, from 0, the shortest first.
    """
    places = sorted(range(len(references[0])), key=lambda place: (len(references[0][place].split()), place))
    scores = [sentence_bleu(lines, references) for lines in translations]

    def spread(place: int) -> float:
        here = [of_system[place] for of_system in scores]
        return max(here) - min(here)

    count = min(count, len(places))
    groups = [places[len(places) * number // count : len(places) * (number + 1) // count] for number in range(count)]
    return [max(group, key=lambda place: (spread(place), -place)) for group in groups]


def sentence_bleu(lines: Sequence[str], references: Sequence[Sequence[str]], tokenizer: str = "13a") -> list[float]:
    """sacreBLEU's sentence BLEU with effective order of each line against all its references, 0 to 100.

    Args:
        lines: detokenised, one a sentence.
        references: one list a reference file.
        tokenizer: any of sacreBLEU's.
    """
    metric = BLEU(effective_order=True, tokenize=tokenizer)
    return [
        float(metric.sentence_score(line, [reference[place] for reference in references]).score)
        for place, line in enumerate(lines)
    ]


def parse_sentences(text: str, available: int) -> list[int]:
    """``1,5,12`` → places from 0.

    Raises:
        UserError: something else, or no such sentence.
    """
    try:
        places = [int(part) - 1 for part in text.split(",")]
    except ValueError as error:
        raise UserError(f"--sentences {text} is no list of numbers: write it as 1,5,12.") from error
    if not all(0 <= place < available for place in places):
        raise UserError(f"--sentences {text}: there are sentences 1 to {available}.")
    return places
