"""From a raw line to tokens and back, one language at a time.

A line is normalised (Unicode NFC, and Moses punctuation where Moses tokenises), split into tokens, and protected: text
may hold the very characters that a dictionary or a subword method keeps for itself. ``Detokenizer`` undoes the last
two.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, get_args

from sacremoses import MosesDetokenizer, MosesPunctNormalizer, MosesTokenizer
from sacremoses.corpus import NonbreakingPrefixes

from nat_plugin.errors import UserError

TokenizerKind = Literal["moses", "jieba", "char", "none"]
SubwordKind = Literal["bpe", "sentencepiece", "none"]
RomanianKind = Literal["as-is", "comma", "plain"]
TOKENIZERS: tuple[TokenizerKind, ...] = get_args(TokenizerKind)

ROMANIAN_KINDS: tuple[RomanianKind, ...] = get_args(RomanianKind)

ROMANIAN = "ro"
# Keyboards had no ș and ț with a comma for long, and text has them with a cedilla.
_COMMA = str.maketrans("ŞşŢţ", "ȘșȚț")
_PLAIN = str.maketrans("ŞşŢţȘșȚțĂăÂâÎî", "SsTtSsTtAaAaIi")

# Written without spaces between words: what a token is has to be said.
UNSPACED_LANGUAGES = frozenset({"ja", "km", "lo", "my", "th", "yue", "zh"})
_SPACE = "▁"  # stands for a space among characters, as in sentencepiece

# Where str.splitlines, and with it many a tool, would start a new line. Ours end at "\n" alone.
_LINE_BREAKS = str.maketrans(dict.fromkeys("\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029", " "))

# fairseq's dictionary owns the symbols in angle brackets and pads itself with "madeupword0000".
_RESERVED = r"<(?:s|/s|pad|unk|mask|blank)>|madeupword(?=\d{4})"
_RESERVED_BY_SUBWORD: dict[SubwordKind, re.Pattern[str]] = {
    "bpe": re.compile(_RESERVED + r"|@@(?= |$)"),
    "sentencepiece": re.compile(f"{_RESERVED}|{_SPACE}"),
    "none": re.compile(_RESERVED),
}
# Where Chinese text has a space between words: between two that are written in Latin letters or digits.
_GAP = "\0"
_WORD_GAP = re.compile(rf"(?<=[0-9A-Za-z\u00C0-\u024F]){_GAP}(?=[0-9A-Za-z\u00C0-\u024F])")
_PROTECTED = re.compile(r"&#(60|64|109|9601);")


def join_line_breaks(line: str) -> str:
    """Turn every line separator inside ``line`` (U+2028, a carriage return, …) into a space."""
    return line.translate(_LINE_BREAKS)


def has_reserved(line: str, subword: SubwordKind) -> bool:
    """Whether ``line`` holds characters that the dictionary or the subword method keeps for itself."""
    return _RESERVED_BY_SUBWORD[subword].search(line) is not None


def protect(line: str, subword: SubwordKind) -> str:
    """Write the first character of everything reserved as a character reference: ``<mask>`` becomes ``&#60;mask>``."""
    return _RESERVED_BY_SUBWORD[subword].sub(lambda match: _reference(match[0]), line)


def unprotect(line: str) -> str:
    """Undo :func:`protect`."""
    return _PROTECTED.sub(lambda match: chr(int(match[1])), line)


def _reference(reserved: str) -> str:
    return f"&#{ord(reserved[0])};{reserved[1:]}"


def moses_languages() -> frozenset[str]:
    """The codes of the languages whose abbreviations sacremoses knows."""
    return frozenset(NonbreakingPrefixes().available_langs.values())


def default_tokenizer(language: str, subword: SubwordKind) -> TokenizerKind:
    """``moses`` for the languages that sacremoses knows, ``none`` for others.

    Raises:
        UserError: the language is written without spaces and ``subword`` does not segment raw text by itself.
    """
    if language in UNSPACED_LANGUAGES:
        if subword == "sentencepiece":
            return "none"
        raise UserError(
            f"'{language}' is written without spaces: say --tokenizer {language}=none for text that is already split "
            f"into words, {language}=char to split it into characters, {language}=jieba for Chinese words, or use "
            "--subword sentencepiece."
        )
    return "moses" if language in moses_languages() else "none"


class Normaliser:
    """Raw line → the same line in Unicode NFC, without line separators, and with Moses's punctuation if wanted.

    Args:
        romanian: of Romanian text alone: ``comma`` writes ș and ț with a comma below wherever they have a cedilla,
            ``plain`` leaves out all diacritics, as Sennrich et al. 2016 do for Romanian sources.
    """

    def __init__(self, language: str, *, punctuation: bool, romanian: RomanianKind = "as-is") -> None:
        self._punctuation = MosesPunctNormalizer(language).normalize if punctuation else None
        tables = {"comma": _COMMA, "plain": _PLAIN}
        self._letters = tables.get(romanian) if language == ROMANIAN else None

    def __call__(self, line: str) -> str:
        line = unicodedata.normalize("NFC", join_line_breaks(line))
        if self._letters:
            line = line.translate(self._letters)
        return self._punctuation(line) if self._punctuation else line


class Tokenizer:
    """Normalised line → tokens joined by single spaces; the empty string if there are none.

    Args:
        kind: ``moses`` (sacremoses with XML escapes), ``jieba`` (Chinese words), ``char`` (every character a token, a
            space becomes ``▁``) or ``none`` (the line is split already).
        subword: what will be applied to the tokens, because that decides which characters are reserved.
        lowercase: after splitting, for which capitals matter.

    Raises:
        UserError: ``jieba`` is not installed.
    """

    def __init__(self, language: str, kind: TokenizerKind, subword: SubwordKind, *, lowercase: bool = False) -> None:
        self._kind = kind
        self._subword = subword
        self._lowercase = lowercase
        self._moses = MosesTokenizer(language) if kind == "moses" else None
        self._jieba = _jieba_cut() if kind == "jieba" else None

    def __call__(self, line: str) -> str:
        if self._kind == "char":
            line = line.lower() if self._lowercase else line
            return " ".join(_SPACE.join(line.split()))
        if self._moses:
            line = self._moses.tokenize(line, return_str=True)
        elif self._jieba:
            line = " ".join(self._jieba(line))
        if self._lowercase:
            line = line.lower()
        return protect(" ".join(line.split()), self._subword)


def _jieba_cut() -> Callable[[str], list[str]]:
    try:
        from rjieba import cut  # an extra, of use for Chinese alone
    except ImportError as error:
        raise UserError(
            "--tokenizer jieba needs the package rjieba: pip install 'nat_plugin[zh]', or choose char."
        ) from error
    words: Callable[[str], list[str]] = cut
    return words


class Detokenizer:
    """Tokens joined by spaces → text, the inverse of :class:`Tokenizer` as far as ``kind`` has one."""

    def __init__(self, language: str, kind: TokenizerKind) -> None:
        self._kind = kind
        self._moses = MosesDetokenizer(language) if kind == "moses" else None

    def __call__(self, line: str) -> str:
        tokens = line.split()
        if self._kind == "char":
            return "".join(tokens).replace(_SPACE, " ").strip()
        tokens = [unprotect(token) for token in tokens]
        if self._kind == "jieba":
            return _WORD_GAP.sub(" ", "".join(f"{token}{_GAP}" for token in tokens)).replace(_GAP, "")
        return self._moses.detokenize(tokens) if self._moses else " ".join(tokens)


def detokenise(lines: Iterable[str], language: str, tokenizer: TokenizerKind) -> Iterator[str]:
    """Detokenise ``lines`` (subwords undone already, see ``subwords.undo_subwords``) of one language."""
    detokenizer: Callable[[str], str] = Detokenizer(language, tokenizer)
    return map(detokenizer, lines)
