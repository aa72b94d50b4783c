"""One system's translations, and its slots, aligned with every reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor

from nat_plugin.alignments import axe_loss_and_alignment, ctc_best_alignment, ctc_loss
from nat_plugin.analysis.monotonic_alignment import MonotonicAlignment, of_axe, of_ctc
from nat_plugin.analysis.reference_alignment import NOTHING, ReferenceMatch, match_reference, match_words
from scripts.lib.canvases import CanvasBatch, read_canvases
from scripts.lib.in_process import SplitTranslator
from scripts.lib.preparation.again import target_subwords
from scripts.lib.results import Row

Matches = list[list[ReferenceMatch | None]]
"""Of each sentence, with each reference; None where the target does not fit the slots (CTC)."""


Goodness = Callable[[ReferenceMatch], float]
"""How good a reference is for its sentence; the highest is the best."""


def match_translations(translator: SplitTranslator, skip_target_penalty: float) -> Matches:
    """The finished translations, word by word, as the run decodes."""
    evaluation = translator.evaluation
    words = evaluation.as_words(translator.translations(show_progress=True))
    references = zip(*evaluation.tokenized_references, strict=True)
    return [
        list(match_words(line.split(), [text.split() for text in texts], skip_target_penalty))
        for line, texts in zip(words, references, strict=True)
    ]


def match_slots(translator: SplitTranslator, skip_target_penalty: float) -> Matches:
    """What the model's own probabilities align, subword by subword: by CTC where it has upsampled slots, else by AXE.

    One pass over masked slots, on a canvas of the model's most probable length × λ.

    Raises:
        UserError: the references cannot be split into subwords.
    """
    evaluation, task = translator.evaluation, translator.translator.task
    dictionary, device = task.target_dictionary, torch.device(translator.device)
    references = [
        [
            dictionary.encode_line(line, line_tokenizer=str.split, add_if_not_exist=False, append_eos=False)
            for line in text
        ]
        for text in (target_subwords(evaluation.data, lines) for lines in evaluation.references)
    ]
    symbols = translator.translator.generator.symbols.to(device)
    align = _align_by_ctc if translator.model.upsamples else _align_by_axe
    found: dict[int, list[ReferenceMatch | None]] = {}
    for batch in read_canvases(translator):
        tokens = symbols.restrict_(batch.logits.clone()).argmax(2).tolist()
        said = [row[:length] for row, length in zip(tokens, batch.lengths.tolist(), strict=True)]
        for place in batch.places:
            found[place] = []
        for texts in references:
            targets = [texts[place].tolist() for place in batch.places]
            aligned = align(batch, targets, task.blank_idx, skip_target_penalty)
            for row, (place, (alignment, cost)) in enumerate(zip(batch.places, aligned, strict=True)):
                found[place].append(
                    None
                    if alignment is None
                    else match_reference(
                        alignment,
                        said[row],
                        targets[row],
                        blank=task.blank_idx,
                        cost=cost,
                        collapse=translator.model.upsamples,
                    )
                )
    return [found[place] for place in range(translator.sentences)]


Aligned = list[tuple[MonotonicAlignment | None, float]]


def _align_by_axe(batch: CanvasBatch, targets: Sequence[list[int]], blank: int, skip_target_penalty: float) -> Aligned:
    tokens, lengths = _padded(targets, blank, batch.lengths.device)
    costs, alignment = axe_loss_and_alignment(
        batch.logits, tokens, batch.lengths, lengths, blank_idx=blank, skip_target_penalty=skip_target_penalty
    )
    return list(zip(of_axe(alignment, batch.lengths, lengths), costs.tolist(), strict=True))


def _align_by_ctc(batch: CanvasBatch, targets: Sequence[list[int]], blank: int, skip_target_penalty: float) -> Aligned:
    tokens, lengths = _padded(targets, blank, batch.lengths.device)
    arguments = (batch.logits, tokens, batch.lengths, lengths)
    paths = ctc_best_alignment(*arguments, blank_idx=blank)
    costs = ctc_loss(*arguments, blank_idx=blank, reduction="none")
    return list(zip(of_ctc(paths, batch.lengths, lengths, blank), costs.tolist(), strict=True))


def _padded(targets: Sequence[list[int]], padding: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """[B, n] and lengths [B]; n is at least 1."""
    lengths = torch.tensor([len(target) for target in targets])
    tokens = torch.full((len(targets), max(1, int(lengths.max()))), padding)
    for row, target in enumerate(targets):
        tokens[row, : len(target)] = torch.tensor(target, dtype=torch.int64)
    return tokens.to(device), lengths.to(device)


def most_similar(match: ReferenceMatch) -> float:
    """What makes a reference the best for a finished translation."""
    return match.similarity


def cheapest(match: ReferenceMatch) -> float:
    """What makes a reference the best for slots: the least cost a target."""
    return -match.cost / max(match.targets, 1)


def best_references(matches: Matches, goodness: Goodness) -> list[int | None]:
    """The best reference of each sentence, from 0, the earlier of equally good ones; None where none has a match."""
    return [
        max(known, key=lambda place: (goodness(known[place]), -place), default=None)
        for known in ({place: match for place, match in enumerate(row) if match is not None} for row in matches)
    ]


def summary(matches: Matches, best: Sequence[int | None]) -> Row:
    """The shares (:meth:`ReferenceMatch.shares`) with each reference, with all together and with the best one, and how
    often each is the best; ``unaligned`` counts pairs that do not fit."""
    count = len(matches[0])
    chosen = [row[place] for row, place in zip(matches, best, strict=True) if place is not None]
    columns = [[row[place] for row in matches] for place in range(count)]
    return {
        "references": [_total(column).shares() for column in columns],
        "all": _total([match for row in matches for match in row]).shares(),
        "best": _total(chosen).shares(),
        "best_counts": [sum(place == number for place in best) for number in range(count)],
        "unaligned": sum(match is None for row in matches for match in row),
    }


def _total(matches: Sequence[ReferenceMatch | None]) -> ReferenceMatch:
    return reduce(add, (match for match in matches if match is not None), NOTHING)


def trained_skip_target_penalty(criterion: Any) -> float | None:
    """δ of the training, where it was AXE's.

    Args:
        criterion: the configuration in a checkpoint.
    """
    value = (criterion or {}).get("skip_target_penalty")
    return None if value is None else float(value)
