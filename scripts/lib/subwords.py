"""Subwords: byte pair encoding by subword-nmt, sentencepiece, or none."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import get_args

import sentencepiece
from subword_nmt.apply_bpe import BPE
from subword_nmt.learn_bpe import learn_bpe as _learn_bpe

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write
from scripts.lib.text import SubwordKind

SUBWORDS: tuple[SubwordKind, ...] = get_args(SubwordKind)
Segmenter = Callable[[str], str]

_LONGEST_SENTENCE = 1 << 16  # bytes; sentencepiece silently leaves out longer ones, and would begin at 4192
_ENOUGH_SENTENCES = 10_000_000  # sentencepiece samples from more
# Sums of floats depend on how the text is divided, so the number of threads is fixed, not the machine's.
_SENTENCEPIECE_THREADS = 4


def model_name(kind: SubwordKind, language: str | None) -> str:
    """The file that holds a model in a data folder; ``language`` is None for a model of both languages."""
    stem, suffix = ("codes", ".bpe") if kind == "bpe" else ("spm", ".model")
    return f"{stem}.{language}{suffix}" if language else stem + suffix


def learn(kind: SubwordKind, files: Sequence[Path], model: Path, size: int) -> None:
    """Learn a model from tokenised files (one sentence a line) and write it to ``model``, atomically.

    Args:
        size: merge operations of BPE, or pieces of sentencepiece.

    Raises:
        UserError: the text is too small for ``size`` pieces, or has nothing to merge.
    """
    (_learn_merges if kind == "bpe" else _learn_pieces)(files, model, size)


def _learn_merges(files: Sequence[Path], codes: Path, merges: int) -> None:
    counts: Counter[str] = Counter()
    for line in _lines(files):
        counts.update(line.split())
    if all(len(word) == 1 for word in counts):
        raise UserError(
            "no word of the training text has two characters, so BPE has nothing to merge: use --subword none."
        )
    with atomic_write(codes) as handle:
        _learn_bpe([f"{word} {count}" for word, count in counts.items()], handle, merges, is_dict=True)


def _learn_pieces(files: Sequence[Path], model: Path, pieces: int) -> None:
    trained = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_lines(files),
            model_writer=trained,
            vocab_size=pieces,
            normalization_rule_name="identity",  # normalised already; undoing must give the tokenised text back
            max_sentence_length=_LONGEST_SENTENCE,
            input_sentence_size=_ENOUGH_SENTENCES,
            shuffle_input_sentence=True,
            num_threads=_SENTENCEPIECE_THREADS,
            minloglevel=2,
        )
    except RuntimeError as error:
        reason = str(error).rsplit("] ", 1)[-1].strip().rstrip(".")
        raise UserError(f"sentencepiece cannot make --vocab-size {pieces} pieces of this text ({reason}).") from error
    with atomic_write(model, "wb") as handle:
        handle.write(trained.getvalue())


def _lines(files: Iterable[Path]) -> Iterator[str]:
    for path in files:
        with open(path, encoding="utf-8", newline="\n") as handle:
            for line in handle:
                yield line.rstrip("\n")


def load(kind: SubwordKind, model: Path) -> Segmenter:
    """A function from tokens to subwords, both joined by single spaces.

    Args:
        model: what :func:`learn` wrote; not looked at where ``kind`` is none.
    """
    if kind == "none":
        return str
    if kind == "bpe":
        with open(model, encoding="utf-8", newline="\n") as handle:
            return BPE(handle).segment
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    return lambda line: " ".join(processor.encode(line, out_type=str))


def undo_subwords(lines: Iterable[str], kind: SubwordKind) -> Iterator[str]:
    """Join the subwords of each line into the tokens that they were made of."""
    if kind == "bpe":
        return ((line.rstrip("\n") + " ").replace("@@ ", "").rstrip(" ") for line in lines)
    if kind == "sentencepiece":
        return ("".join(line.split()).replace("▁", " ").strip() for line in lines)
    return (line.rstrip("\n") for line in lines)
