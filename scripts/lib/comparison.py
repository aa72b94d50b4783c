"""Whether one system is better than another, and on which sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

from sacrebleu.significance import PairedTest

from nat_plugin.analysis.repetition import count_repetitions
from nat_plugin.errors import UserError
from scripts.lib.scoring import bleu_metric

SAMPLES = 1000  # sacreBLEU's default
EDGES = (10, 20, 30, 40, 50)  # Table 8 of Ghazvininejad et al. 2020


@dataclass(frozen=True)
class Significance:
    """One system against the baseline."""

    bleu: float
    """sacreBLEU, 0 to 100."""
    difference: float
    """BLEU minus the baseline's; 0 for the baseline."""
    mean: float
    """BLEU over the resampled test sets."""
    half_interval: float
    """``mean`` ± this holds 95 % of them."""
    p_value: float | None
    """How often, were there no difference, resampling would show one at least as large; None for the baseline."""


@dataclass(frozen=True)
class Bucket:
    """The sentences whose reference has ``shortest`` to ``longest`` words."""

    shortest: int
    longest: int | None
    """None: no upper limit."""
    sentences: int
    bleu: tuple[float, ...]
    """Of each system, over these sentences alone, 0 to 100."""
    repeated_tokens: tuple[float, ...]
    """Of each system: share of words equal to the word before, 0 to 1."""

    @property
    def name(self) -> str:
        return bucket_name(self.shortest, self.longest)


def bucket_name(shortest: int, longest: int | None) -> str:
    """What a bucket of lengths is called; None: no upper limit."""
    return f"{shortest}–{longest}" if longest else f"{shortest} and more"


def check_edges(edges: Sequence[int]) -> None:
    """Refuse lengths that cannot be where buckets begin.

    Raises:
        UserError: they do not rise from at least 2.
    """
    if any(after <= before for before, after in pairwise([1, *edges])):
        raise UserError(f"--buckets {' '.join(map(str, edges))}: lengths must rise, the first at least 2.")


def paired_bootstrap(
    systems: Mapping[str, Sequence[str]],
    references: Sequence[Sequence[str]],
    *,
    tokenizer: str = "13a",
    samples: int = SAMPLES,
) -> tuple[dict[str, Significance], str]:
    """Compare each system with the first by paired bootstrap resampling (Koehn 2004), as sacreBLEU does it.

    Args:
        systems: name → one detokenised translation a sentence; the first is the baseline.
        references: one sequence a reference file.
        tokenizer: any of sacreBLEU's.
        samples: how many test sets are drawn. The smallest possible p is 1 / (samples + 1).

    Returns:
        Name → result, in the order given, and sacreBLEU's signature, which holds seed and number of samples.

    Raises:
        UserError: fewer than two systems, fewer than one sample, or texts of unequal length.
    """
    _check(systems, references)
    if samples < 1:
        raise UserError(f"--samples must be at least 1, not {samples}.")
    test = PairedTest(
        list(systems.items()), {"BLEU": bleu_metric(tokenizer)}, references, test_type="bs", n_samples=samples
    )
    signatures, columns = test()
    results = cast(list[Any], columns["BLEU"])  # sacreBLEU's Result; its annotation says str as well
    baseline = results[0].score
    compared = {
        name: Significance(result.score, result.score - baseline, float(result.mean), float(result.ci), result.p_value)
        for name, result in zip(systems, results, strict=True)
    }
    return compared, str(signatures["BLEU"])


def by_reference_length(
    systems: Mapping[str, Sequence[str]],
    references: Sequence[Sequence[str]],
    edges: Sequence[int],
    *,
    tokenizer: str = "13a",
) -> list[Bucket]:
    """BLEU of sentences of similar length, as in Table 8 of Ghazvininejad et al. 2020.

    Args:
        systems, references, tokenizer: as for :func:`paired_bootstrap`.
        edges: where a new bucket begins, rising: 10, 20 makes 1–9, 10–19 and "20 and more". A sentence's length is the
            number of words of its first reference, as ``tokenizer`` splits it.

    Returns:
        The buckets that have sentences.

    Raises:
        UserError: as :func:`paired_bootstrap`, or edges that do not rise from at least 2.
    """
    _check(systems, references)
    check_edges(edges)
    metric = bleu_metric(tokenizer)
    lengths = [len(metric.tokenizer(line).split()) for line in references[0]]
    buckets = []
    for shortest, after in zip([0, *edges], [*edges, None], strict=True):
        chosen = [
            place for place, length in enumerate(lengths) if length >= shortest and (after is None or length < after)
        ]
        if not chosen:
            continue
        kept = [[reference[place] for place in chosen] for reference in references]
        hypotheses = [[lines[place] for place in chosen] for lines in systems.values()]
        buckets.append(
            Bucket(
                shortest=max(shortest, 1),
                longest=after and after - 1,
                sentences=len(chosen),
                bleu=tuple(metric.corpus_score(lines, kept).score for lines in hypotheses),
                repeated_tokens=tuple(
                    count_repetitions(metric.tokenizer(line).split() for line in lines).share for lines in hypotheses
                ),
            )
        )
    return buckets


def _check(systems: Mapping[str, Sequence[str]], references: Sequence[Sequence[str]]) -> None:
    if len(systems) < 2:
        raise UserError("a comparison needs at least two systems with names of their own.")
    if not references:
        raise UserError("there are no references to score against: give at least one.")
    for name, lines in [*systems.items(), *((f"reference {n}", text) for n, text in enumerate(references, start=1))]:
        if len(lines) != len(references[0]):
            raise UserError(
                f"{name} has {len(lines)} sentences but the reference has {len(references[0])}: they must be of the "
                "same test set."
            )
