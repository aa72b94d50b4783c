"""Prefix beam search over one canvas, by flashlight-text's decoder, with or without an n-gram language model.

No torch in here: worker processes import this module (see :mod:`nat_plugin.decoding.ctc_workers`).
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nat_plugin.decoding.ngram_lm.arpa import LN10, read_vocabulary
from nat_plugin.errors import UserError

_NEVER = -1e9  # stands for log 0: flashlight would make NaN of sums of infinities
_NO_THRESHOLD = 1e30  # flashlight can drop hypotheses by score too; only the beam's size limits ours
_ENOUGH_KNOWN = 0.5


class Found(NamedTuple):
    """A sentence that the search came to.

    Attributes:
        tokens: ids, without blanks and repeats merged.
        am_score: log p(y|x), nats: the sum over all alignments that stayed in the beam.
        lm_score: log p_LM(y), end of sentence included, nats; 0 without a language model.
    """

    tokens: tuple[int, ...]
    am_score: float
    lm_score: float


@dataclass(frozen=True)
class SearchOptions:
    """What the search depends on.

    Attributes:
        beam: hypotheses that are kept after each slot.
        lm_path: an ARPA or KenLM file; empty for none.
        lm_weight: α.
    """

    beam: int = 20
    lm_path: str = ""
    lm_weight: float = 0.0


class CtcSearch:
    """Finds the ``beam`` sentences of the highest log p(y|x) + α·log p_LM(y), approximately.

    Args:
        symbols: [V] strings, the output vocabulary as the language model spells it.
        blank_idx: the blank's place in it.

    Raises:
        UserError: flashlight-text is not installed, or the language model cannot be read or knows other subwords.
    """

    def __init__(self, symbols: Sequence[str], blank_idx: int, options: SearchOptions) -> None:
        self.size, self.blank_idx, self.options = len(symbols), blank_idx, options
        self._flashlight = _import_flashlight()
        self._lm = load_kenlm(options.lm_path, symbols) if options.lm_path else self._flashlight.ZeroLM()
        self._decoders: dict[int, Any] = {}

    def __call__(self, lprobs: NDArray[np.floating[Any]], tokens: NDArray[np.integer[Any]]) -> list[Found]:
        """Search one canvas.

        Args:
            lprobs: [m, k], log-probabilities of the k tokens that each slot may take, nats.
            tokens: [m, k], those tokens, different ones in each slot; every other token has probability 0 there.

        Returns:
            Up to ``beam`` different sentences, in no order that means anything.
        """
        slots, choices = tokens.shape
        emissions = np.full((slots, self.size), _NEVER, dtype=np.float32)
        np.put_along_axis(emissions, tokens.astype(np.int64), np.maximum(lprobs, _NEVER).astype(np.float32), axis=1)
        results = self._decoder(choices).decode(emissions.ctypes.data, slots, self.size)
        found = [self._found(result) for result in results]
        # Where fewer tokens are possible than the beam is wide, impossible sentences fill it up.
        return [entry for entry in found if entry.am_score > _NEVER / 2]

    def _found(self, result: Any) -> Found:
        # Its own "emitting model score" is that of one alignment; the total has the sum over all of them.
        am_score = result.score - self.options.lm_weight * LN10 * result.lmScore
        path = [token for token, _ in groupby(result.tokens) if token != self.blank_idx]
        return Found(tuple(path), am_score, LN10 * result.lmScore)

    def _decoder(self, choices: int) -> Any:
        if choices not in self._decoders:
            flashlight = self._flashlight
            settings = flashlight.LexiconFreeDecoderOptions(
                beam_size=self.options.beam,
                beam_size_token=choices,
                beam_threshold=_NO_THRESHOLD,
                lm_weight=self.options.lm_weight * LN10,  # KenLM's scores are in base 10
                sil_score=0.0,
                log_add=True,
                criterion_type=flashlight.CriterionType.CTC,
            )
            # "Silence" stands before the first slot and behind the last, and a token equal to it would be taken for
            # its repeat in the first slot: only the blank may play it.
            self._decoders[choices] = flashlight.LexiconFreeDecoder(
                settings, self._lm, self.blank_idx, self.blank_idx, []
            )
        return self._decoders[choices]


def load_kenlm(path: str, symbols: Sequence[str]) -> Any:
    """flashlight's KenLM over a vocabulary.

    Raises:
        UserError: there is no such file, it is no language model, or it knows less than half of ``symbols``.
    """
    _import_flashlight()
    from flashlight.lib.text.decoder.kenlm import KenLM
    from flashlight.lib.text.dictionary import Dictionary

    check_vocabulary(path, symbols)
    try:
        with _silent_standard_error():
            return KenLM(path, Dictionary(list(symbols)))
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--ngram-lm-path {path} cannot be read as a language model ({reason}).") from error


def check_vocabulary(path: str, symbols: Sequence[str]) -> None:
    """Refuse a language model of other subwords: it would give every token the probability of an unknown one.

    Only ARPA files are looked into; KenLM's binary format is taken as it is.

    Raises:
        UserError: there is no such file, or it knows less than half of the words in ``symbols``.
    """
    if not Path(path).is_file():
        raise UserError(f"--ngram-lm-path {path}: there is no such file; make it with scripts/train_lm.py.")
    with open(path, "rb") as handle:
        is_binary = handle.read(6) == b"mmap l"
    if is_binary:
        return
    known = read_vocabulary(path)
    words = [symbol for symbol in symbols if not (symbol.startswith("<") and symbol.endswith(">"))]
    shared = sum(word in known for word in words)
    if shared < _ENOUGH_KNOWN * min(len(words), len(known) - 3):
        raise UserError(
            f"--ngram-lm-path {path} knows {shared} of the model's {len(words)} subwords: it was estimated from other "
            "text; make one with scripts/train_lm.py from the data that trained the model."
        )


def _import_flashlight() -> Any:
    try:
        from flashlight.lib.text import decoder
    except ImportError as error:
        raise UserError(
            f"CTC beam search needs flashlight-text, which cannot be imported ({error}): pip install '.[lm]'."
        ) from error
    return decoder


@contextmanager
def _silent_standard_error() -> Iterator[None]:
    """KenLM's code draws a progress bar on file descriptor 2 whatever it is; its errors come as exceptions."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)


def length_bonus(length: int, form: str) -> float:
    """What β is multiplied with: log|y| (``log``, Gu & Kong 2021, Eq. 6) or |y| (``linear``).

    An empty sentence, whose logarithm would be infinite, counts like one of one token in the first form.
    """
    return math.log(max(length, 1)) if form == "log" else float(length)
