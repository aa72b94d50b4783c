"""The sentences that a language model is estimated from: a text file, or a side of binarised data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nat_plugin.errors import UserError
from scripts.lib.binarise import read_tokens
from scripts.lib.prepared_data import read_text

_OWN_SYMBOLS = ("<s>", "<pad>", "</s>", "<unk>")  # fairseq's first four, which no dict.txt lists


@dataclass(frozen=True)
class LmText:
    """Where sentences come from.

    Attributes:
        path: a text file, one tokenised sentence a line; or a folder of binarised data.
        split: of binarised data.
        language: of binarised data; empty for a text file.
    """

    path: Path
    split: str = ""
    language: str = ""

    @classmethod
    def resolve(cls, path: Path, split: str, language: str | None) -> LmText:
        """Find out what ``path`` is, and which language stands second in the names of its binarised files.

        Raises:
            UserError: there is no such file or split, or no language is named where several targets are there.
        """
        if not path.is_dir():
            if language:
                raise UserError(f"--lang {language} goes with a folder of binarised data, and {path} is none: drop it.")
            return cls(path)
        pairs = {(name.stem.split(".")[-2], name.stem.split(".")[-1]) for name in path.glob(f"{split}.*-*.*.idx")}
        targets = sorted(
            {side for pair, side in pairs if side == language or (not language and pair.endswith(f"-{side}"))}
        )
        if len(targets) != 1:
            there = f"several targets, {', '.join(targets)}" if targets else "no such binarised side"
            raise UserError(
                f"{path} has {there} for split '{split}'{f' and --lang {language}' if language else ''}: name another "
                "--split or --lang, or binarise the data with scripts/prepare.py."
            )
        return cls(path, split, targets[0])

    @property
    def default_output_stem(self) -> Path:
        """Where the model goes when no place is named, without order and suffix."""
        return self.path / "ngram_lm" / f"{self.split}.{self.language}" if self.language else self.path

    def sentences(self) -> Iterator[list[str]]:
        """Every sentence as a list of its tokens; empty lines are empty lists.

        Raises:
            UserError: the file is missing, empty or not UTF-8; binarised data are damaged.
        """
        if not self.language:
            for line in read_text(self.path):
                yield line.split()
            return
        symbols = self._symbols()
        prefix = next(self.path.glob(f"{self.split}.*-*.{self.language}.idx")).with_suffix("")
        sizes, tokens = read_tokens(prefix)
        if tokens.size and int(tokens.max()) >= len(symbols):
            raise UserError(
                f"{prefix} has token {int(tokens.max())}, but dict.{self.language}.txt only {len(symbols)} entries: "
                "binarise the data again."
            )
        end = 0
        for size in sizes.tolist():
            yield [symbols[token] for token in tokens[end : end + size - 1].tolist()]
            end += size

    def _symbols(self) -> list[str]:
        lines = read_text(self.path / f"dict.{self.language}.txt")
        return [*_OWN_SYMBOLS, *(line.rpartition(" ")[0] for line in lines)]
