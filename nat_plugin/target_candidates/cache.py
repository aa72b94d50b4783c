"""The sentence BLEU between all candidates of every sentence, computed once and kept in a file."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_path
from nat_plugin.locks import take_lock
from nat_plugin.processors import cores
from nat_plugin.target_candidates.sentence_bleu import sentence_bleu, signature
from nat_plugin.target_candidates.words import SubwordMarks, Tokens

logger = logging.getLogger(__name__)

_FORMAT = 2
_SENTENCES_AT_ONCE = 2000  # of a process: seconds of work


def candidate_bleu(texts: Sequence[Tokens], symbols: Sequence[str], folder: Path) -> np.ndarray:
    """S(Γ_i, Γ_k) of each sentence, [N, K, K] float32 in a memory map: hypothesis k against reference i, 0 to 100.

    The text that counts is words, subwords joined (:class:`~nat_plugin.target_candidates.words.SubwordMarks`). The
    file's name is a digest of the texts and the dictionary, so that another text never meets an old file; it appears
    when it is whole; and of several processes that want it one makes it, while the others wait.

    Args:
        texts: K binarised texts of N sentences.
        symbols: of the dictionary, in order.
        folder: where the file is kept.

    Raises:
        UserError: the folder cannot be written to, or the disk is full.
    """
    shape = (len(texts[0].sizes), len(texts), len(texts))
    path = folder / f"candidate_bleu.{_digest(texts, symbols)}.npy"
    found = _read(path, shape)
    if found is not None:
        return found
    try:
        with _alone(folder):
            found = _read(path, shape)
            if found is None:
                _write(path, shape, _maker(texts, SubwordMarks(symbols)))
                found = _read(path, shape)
    except OSError as error:
        raise UserError(
            f"{folder} cannot take the sentence BLEU of the candidates ({error.strerror or error}): make it writable, "
            "free some space, or name another folder with --candidate-cache."
        ) from error
    assert found is not None
    return found


def _digest(texts: Sequence[Tokens], symbols: Sequence[str]) -> str:
    digest = hashlib.sha256(f"{_FORMAT}|{signature()}|{len(texts)}\n".encode())
    digest.update("\n".join(symbols).encode("utf-8", "surrogatepass"))
    for text in texts:
        for values in text:
            digest.update(f"\n{values.dtype.str}{len(values)}\n".encode())
            digest.update(np.ascontiguousarray(values).view(np.uint8).data)
    return digest.hexdigest()[:32]


def _read(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The file's content; None where it is absent or damaged."""
    try:
        found = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return found if found.shape == shape and found.dtype == np.float32 else None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process is at work in ``folder``; the system lets go of the lock however a process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "candidate_bleu.lock", "a", encoding="utf-8") as handle:
        if not take_lock(handle):
            logger.info("another process computes the sentence BLEU of the candidates: waiting for it")
            take_lock(handle, wait=True)
        yield


def _maker(texts: Sequence[Tokens], marks: SubwordMarks) -> Callable[[int, int], list[list[str]]]:
    """From a range of sentences to their words in each text."""
    starts = [np.concatenate([[0], np.cumsum(text.sizes, dtype=np.int64)]) for text in texts]

    def lines(first: int, end: int) -> list[list[str]]:
        return [
            marks.lines(Tokens(text.tokens[start[first] : start[end]], text.sizes[first:end]))
            for text, start in zip(texts, starts, strict=True)
        ]

    return lines


def _write(path: Path, shape: tuple[int, ...], lines: Callable[[int, int], list[list[str]]]) -> None:
    """Fill the file, some sentences at a time, on every processor."""
    ranges = [(first, min(first + _SENTENCES_AT_ONCE, shape[0])) for first in range(0, shape[0], _SENTENCES_AT_ONCE)]
    with (
        atomic_path(path) as temporary,
        tqdm(total=shape[0], desc="sentence BLEU of the candidates", unit=" sentences", disable=None) as progress,
    ):
        table = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        for (first, end), scores in _scores(ranges, lines, min(cores(), len(ranges))):
            table[first:end] = scores
            progress.update(end - first)
        table.flush()


def _scores(
    ranges: Sequence[tuple[int, int]], lines: Callable[[int, int], list[list[str]]], workers: int
) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """The scores of each range, in order; no more text is made than the processes have in hand."""
    if workers < 2:
        for each in ranges:
            words = lines(*each)
            yield each, sentence_bleu(words, words)
        return
    # begun anew, not forked: this process has threads
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting: deque[tuple[tuple[int, int], Future[np.ndarray]]] = deque()
        for each in ranges:
            words = lines(*each)
            waiting.append((each, pool.submit(sentence_bleu, words, words)))
            if len(waiting) > 2 * workers:
                done, scores = waiting.popleft()
                yield done, scores.result()
        for done, scores in waiting:
            yield done, scores.result()
