"""CTC beam search with an n-gram language model (Gu & Kong 2021, Eq. 6).

Sought is the sentence y with the highest

    log p(y|x) + α·log p_LM(y) + β·log|y|        (or β·|y|)

in natural logarithms, p(y|x) being the sum over all alignments of y with the slots. Two searches are offered:
``flashlight``, C++ on the processor, one sentence at a time or several in processes of their own, maximises the first
two terms, and the sentences that it ends with are ranked by all three; ``torch`` maximises all three for a whole batch
at once, on any device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nat_plugin.decoding.ctc_prefix_beam import BatchedCtcSearch
from nat_plugin.decoding.ctc_search import CtcSearch, Found, SearchOptions, length_bonus
from nat_plugin.decoding.ctc_workers import SearchWorkers
from nat_plugin.decoding.host_copy import to_host
from nat_plugin.errors import UserError

BONUS_FORMS = ("log", "linear")
SEARCHES = ("flashlight", "torch")


@dataclass(frozen=True)
class CtcBeamOptions:
    """How to search.

    Attributes:
        beam: hypotheses that are kept after each slot, and the longest n-best list.
        tokens: how many tokens of each slot are tried, its most probable ones.
        lm_path: n-gram language model, in ARPA or (``flashlight`` only) KenLM's binary format; empty for none.
        lm_weight: α.
        token_bonus: β.
        bonus_form: ``log`` for β·log|y|, ``linear`` for β·|y|.
        workers: processes that search (``flashlight`` only); 1 searches in this one.
        search: ``flashlight``, or ``torch`` with β inside the search.
    """

    beam: int = 20
    tokens: int = 20
    lm_path: str = ""
    lm_weight: float = 0.0
    token_bonus: float = 0.0
    bonus_form: str = "log"
    workers: int = 1
    search: str = "flashlight"

    def validate(self) -> CtcBeamOptions:
        """Return self.

        Raises:
            UserError: a value is out of range, or a weight has nothing to weigh.
        """
        for flag, value in (("beam", self.beam), ("beam-tokens", self.tokens), ("workers", self.workers)):
            if value < 1:
                raise UserError(f"--ctc-{flag} must be at least 1, not {value}.")
        for flag, weight in (("--ngram-lm-weight", self.lm_weight), ("--token-bonus", self.token_bonus)):
            if not math.isfinite(weight):
                raise UserError(f"{flag} must be finite, not {weight}.")
        if self.lm_weight < 0:
            raise UserError(f"--ngram-lm-weight must not be negative, not {self.lm_weight}: 0.1 to 1 are usual.")
        if self.lm_weight and not self.lm_path:
            raise UserError("--ngram-lm-weight weighs a language model: give --ngram-lm-path FILE too.")
        if self.bonus_form not in BONUS_FORMS:
            raise UserError(f"--length-bonus-form must be {' or '.join(BONUS_FORMS)}, not {self.bonus_form}.")
        if self.search not in SEARCHES:
            raise UserError(f"--ctc-search must be {' or '.join(SEARCHES)}, not {self.search}.")
        if self.search == "torch" and self.workers > 1:
            raise UserError("--ctc-search torch decodes a whole batch in this process: drop --ctc-workers.")
        return self


class CtcHypothesis(NamedTuple):
    """A translation.

    Attributes:
        tokens: ids, without blanks.
        score: log p(y|x) + α·log p_LM(y) + β·log|y| or β·|y|, nats.
        am_score: log p(y|x), over the alignments that stayed in the beam.
        lm_score: log p_LM(y), end of sentence included; 0 without a language model.
    """

    tokens: tuple[int, ...]
    score: float
    am_score: float
    lm_score: float


class TopTokens(NamedTuple):
    """The k most probable tokens of every slot.

    Attributes:
        lprobs: [B, m, k], nats, best first; -inf where fewer than k are possible.
        tokens: [B, m, k] int64.
    """

    lprobs: Tensor
    tokens: Tensor


class PendingHypotheses:
    """N-best lists that may still be sought; :meth:`result` waits for them."""

    def __init__(self, found: Sequence[Future[list[Found]] | list[Found]], options: CtcBeamOptions) -> None:
        self._found, self._options = found, options

    def result(self) -> list[list[CtcHypothesis]]:
        """One list a sentence, in the order of the batch; each best first and never empty.

        Raises:
            UserError: a worker process was killed.
        """
        lists = [entry.result() if isinstance(entry, Future) else entry for entry in self._found]
        return [rank(found, self._options) for found in lists]


class CtcBeamDecoder:
    """Beam search over the log-probabilities of canvases.

    Args:
        symbols: [V] strings, the output vocabulary as the language model spells it.
        blank_idx: the blank's place in it.
        options: see :class:`CtcBeamOptions`.

    Raises:
        UserError: options out of range; flashlight-text is missing and wanted; the language model cannot be used.
    """

    def __init__(self, symbols: Sequence[str], blank_idx: int, options: CtcBeamOptions) -> None:
        self.options = options.validate()
        self.choices = min(options.tokens, len(symbols))
        searched = SearchOptions(options.beam, options.lm_path, options.lm_weight)
        self._search: CtcSearch | SearchWorkers | BatchedCtcSearch
        if options.search == "torch":
            self._search = BatchedCtcSearch(
                symbols,
                blank_idx,
                beam=options.beam,
                lm_path=options.lm_path,
                lm_weight=options.lm_weight,
                token_bonus=options.token_bonus,
                bonus_form=options.bonus_form,
            )
        elif options.workers > 1:
            self._search = SearchWorkers(symbols, blank_idx, searched, options.workers)
        else:
            self._search = CtcSearch(symbols, blank_idx, searched)

    @property
    def takes_whole_batches(self) -> bool:
        """Whether a batch is best submitted as one."""
        return isinstance(self._search, BatchedCtcSearch)

    def decode(self, lprobs: Tensor, lengths: Tensor) -> list[list[CtcHypothesis]]:
        """Search a batch.

        Args:
            lprobs: [B, m, V], log-probabilities of every token in every slot, nats.
            lengths: [B], slots of each sentence; what stands beyond means nothing.

        Returns:
            One n-best list a sentence, best first; never empty.
        """
        return self.submit(top_tokens(lprobs, self.choices), lengths).result()

    def submit(self, top: TopTokens, lengths: Tensor) -> PendingHypotheses:
        """Begin to search a batch; with several workers this returns at once, and the next batch can be computed."""
        found: Sequence[Future[list[Found]] | list[Found]]
        if isinstance(self._search, BatchedCtcSearch):
            found = self._search(top.lprobs, top.tokens, lengths)
            return PendingHypotheses(found, self.options)
        lprobs, tokens, counts = to_host([top.lprobs.float(), top.tokens.to(torch.int32), lengths])
        found_in = zip(lprobs.numpy(), tokens.numpy(), counts.tolist(), strict=True)
        canvases = [(values[:slots], ids[:slots]) for values, ids, slots in found_in]
        if isinstance(self._search, SearchWorkers):
            found = [self._search.submit(*canvas) for canvas in canvases]
        else:
            found = [self._search(*canvas) for canvas in canvases]
        return PendingHypotheses(found, self.options)

    def close(self) -> None:
        """End the worker processes; they end by themselves with this process."""
        if isinstance(self._search, SearchWorkers):
            self._search.close()


def top_tokens(lprobs: Tensor, count: int) -> TopTokens:
    """The ``count`` most probable tokens of every slot of ``lprobs`` [B, m, V]."""
    return TopTokens(*lprobs.topk(min(count, lprobs.size(-1)), dim=-1))


def rank(found: Sequence[Found], options: CtcBeamOptions) -> list[CtcHypothesis]:
    """Score what a search found with all three terms, best first; of equal scores the smaller ids come first."""
    hypotheses = [CtcHypothesis(entry.tokens, total_score(entry, options), *entry[1:]) for entry in found]
    return sorted(hypotheses, key=lambda entry: (-entry.score, entry.tokens))


def total_score(found: Found, options: CtcBeamOptions) -> float:
    """Eq. 6: log p(y|x) + α·log p_LM(y) + β·log|y|, or β·|y|."""
    bonus = options.token_bonus * length_bonus(len(found.tokens), options.bonus_form)
    return found.am_score + options.lm_weight * found.lm_score + bonus
