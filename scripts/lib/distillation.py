"""From translated shards to a data folder whose training targets are the teacher's."""

from __future__ import annotations

import functools
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sacrebleu.metrics import BLEU

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write, write_lines
from scripts.lib.binarise import preprocess, read_binarised
from scripts.lib.generation import USER_DIR, displayed_path
from scripts.lib.prepared_data import PreparedData, read_text
from scripts.lib.scoring import default_tokenizer
from scripts.lib.shards import ShardPlan, read_shard
from scripts.lib.teacher import Translation
from scripts.lib.workers import map_in_order

WORK_FOLDER = ".distil"  # inside the output: lock and unfinished work
MOST_COMPARED = 100_000  # the BLEU of so many sentences takes 0.7 GB and half a minute
_CHUNK = 1000  # sentences that a process turns back into text at once


@dataclass(frozen=True)
class Distilled:
    """The new targets of a split.

    Attributes:
        targets: subwords, one string a sentence, in the order of the split.
        replaced: sentences that kept their original target.
        seconds: what all processes spent on translating, together.
    """

    targets: list[str]
    replaced: list[Translation]
    seconds: float

    @property
    def reasons(self) -> dict[str, int]:
        """How many sentences kept their original target, by reason."""
        return dict(sorted(Counter(str(row.fault) for row in self.replaced).items()))


def collect(plan: ShardPlan, originals: Sequence[str]) -> Distilled:
    """Put the shards together, with the original target where the teacher's cannot be used.

    Args:
        originals: the split's targets in subwords.

    Raises:
        UserError: a sentence is missing or there twice, or ``originals`` are not as many as the sentences.
    """
    if len(originals) != plan.sentences:
        raise UserError(
            f"there are {plan.sentences} binarised sentences but {len(originals)} lines of target text: prepare the "
            "data again."
        )
    found: dict[int, Translation] = {}
    seconds = 0.0
    for shard in range(plan.count):
        content = read_shard(plan, shard)
        if content is None:
            raise UserError(f"{plan.path(shard)} is missing or damaged: run the same command again.")
        found.update((row.index, row) for row in content[0])
        seconds += content[1]
    if sorted(found) != list(range(plan.sentences)):
        raise UserError(f"the shards in {plan.folder} do not hold each sentence once: remove them and start again.")
    rows = [found[index] for index in range(plan.sentences)]
    targets = [row.tokens if row.fault is None else originals[row.index] for row in rows]
    return Distilled(targets, [row for row in rows if row.fault is not None], seconds)


def write_data(data: PreparedData, output: Path, split: str, distilled: Distilled, workers: int) -> list[str]:
    """Write the data folder: everything as in ``data`` but the targets of ``split``.

    The last file written is the index of the binarised targets, without which no training starts.

    Returns:
        The fairseq-preprocess command that was run.

    Raises:
        UserError: the source text is not what was binarised, or binarising fails.
    """
    pair = f"{data.source_lang}-{data.target_lang}"
    (output / f"{split}.{pair}.{data.target_lang}.idx").unlink(missing_ok=True)
    copy_data(data, output, split)
    target = f"{split}.{data.target_lang}"
    words = data.words(distilled.targets)
    write_lines(output / "bpe" / target, distilled.targets)
    write_lines(output / "tok" / target, words)
    write_lines(output / "raw" / target, to_text(data, words, workers))
    return _binarise(data, output, split, len(distilled.targets), workers)


def copy_data(data: PreparedData, output: Path, split: str) -> None:
    """Copy, byte for byte, what the targets of ``split`` have no part in; hidden files and logs stay behind."""
    pair = f"{data.source_lang}-{data.target_lang}"
    changed = {f"{split}.{pair}.{data.target_lang}.{suffix}" for suffix in ("bin", "idx")}
    changed |= {f"{kind}/{split}.{data.target_lang}" for kind in ("raw", "tok", "bpe")}
    for path in sorted(data.folder.rglob("*")):
        name = path.relative_to(data.folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.is_file() and not hidden and path.suffix != ".log" and name.as_posix() not in changed:
            with open(path, "rb") as source, atomic_write(output / name, "wb") as copy:
                shutil.copyfileobj(source, copy)


def to_text(data: PreparedData, words: Sequence[str], workers: int) -> list[str]:
    """Prepared tokens → text, by several processes."""
    chunks = (words[start : start + _CHUNK] for start in range(0, len(words), _CHUNK))
    detokenise: Callable[[], Callable[[Sequence[str]], list[str]]] = functools.partial(_text_function, data)
    return [line for chunk in map_in_order(detokenise, chunks, workers) for line in chunk]


def _text_function(data: PreparedData) -> Callable[[Sequence[str]], list[str]]:
    return data.text


def _binarise(data: PreparedData, output: Path, split: str, sentences: int, workers: int) -> list[str]:
    """Binarise both sides with the teacher's dictionaries, check the source, and keep the target."""
    unfinished = output / WORK_FOLDER / "binarised"
    shutil.rmtree(unfinished, ignore_errors=True)
    command = preprocess_command(data, output, split, unfinished, workers)
    preprocess(command, output / "preprocess.log")
    pair = f"{data.source_lang}-{data.target_lang}"
    source, target = (f"{pair}.{language}" for language in (data.source_lang, data.target_lang))
    for suffix in ("bin", "idx"):
        again, original = unfinished / f"train.{source}.{suffix}", data.folder / f"{split}.{source}.{suffix}"
        if again.read_bytes() != original.read_bytes():
            raise UserError(
                f"{data.folder / 'bpe' / f'{split}.{data.source_lang}'} is not the text that {original} was made of: "
                "prepare the data again, then distil."
            )
    written = read_binarised(unfinished / f"train.{target}").sentences
    if written != sentences:
        raise UserError(f"fairseq-preprocess wrote {written} of {sentences} targets: see {output / 'preprocess.log'}.")
    for suffix in ("bin", "idx"):
        (unfinished / f"train.{target}.{suffix}").replace(output / f"{split}.{target}.{suffix}")
    shutil.rmtree(unfinished)
    return command


def preprocess_command(data: PreparedData, output: Path, split: str, destination: Path, workers: int) -> list[str]:
    """The plain fairseq-preprocess command for the distilled split, with the dictionaries of ``data``."""
    dictionaries = [displayed_path(data.folder / f"dict.{lang}.txt") for lang in (data.source_lang, data.target_lang)]
    return [
        *("fairseq-preprocess", "--user-dir", displayed_path(USER_DIR), "--task", "nat_translation"),
        *("--source-lang", data.source_lang, "--target-lang", data.target_lang),
        *("--srcdict", dictionaries[0], "--tgtdict", dictionaries[1]),
        *("--trainpref", displayed_path(output / "bpe" / split), "--destdir", displayed_path(destination)),
        *("--workers", str(workers)),
    ]


def write_replaced(path: Path, distilled: Distilled) -> None:
    """A table of the sentences that kept their original target: line number, reason, what the teacher said."""
    with atomic_write(path) as handle:
        handle.write("line\treason\tteacher\n")
        handle.writelines(f"{row.index + 1}\t{row.fault}\t{row.tokens}\n" for row in distilled.replaced)


def compare(
    data: PreparedData, output: Path, split: str, distilled: Distilled, *, most: int = MOST_COMPARED
) -> Mapping[str, Any]:
    """How the teacher's targets relate to the original ones, over the sentences that were not replaced.

    Args:
        most: of more sentences than that, so many are taken, evenly spread: BLEU holds all of them in memory.

    Returns:
        ``sentences``: how many were compared. ``length_ratio``: teacher's subwords / original subwords.
        ``equal_to_original``: share of sentences. ``bleu`` with its ``signature``: the teacher's text held against the
        original one.
    """
    replaced = {row.index for row in distilled.replaced}
    usable = [index for index in range(len(distilled.targets)) if index not in replaced]
    if not usable:
        raise UserError("none of the teacher's translations can be used: train the teacher longer (see replaced.tsv).")
    kept = {usable[place * len(usable) // most] for place in range(most)} if len(usable) > most else set(usable)
    name = f"{split}.{data.target_lang}"
    originals = list(_select(read_text(data.folder / "bpe" / name), kept))
    targets = list(_select(distilled.targets, kept))
    metric = BLEU(tokenize=default_tokenizer(data.target_lang))
    new_text, old_text = (list(_select(read_text(folder / "raw" / name), kept)) for folder in (output, data.folder))
    return {
        "sentences": len(kept),
        "length_ratio": sum(len(line.split()) for line in targets) / sum(len(line.split()) for line in originals),
        "equal_to_original": sum(map(str.__eq__, targets, originals)) / len(kept),
        "bleu": metric.corpus_score(new_text, [old_text]).score,
        "signature": str(metric.get_signature()),
    }


def _select(lines: Sequence[str], indices: set[int]) -> Iterator[str]:
    return (line for index, line in enumerate(lines) if index in indices)
