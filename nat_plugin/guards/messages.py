"""The last word of a command: one sentence where the user can mend something, a traceback where a programmer must."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from types import TracebackType

from hydra.core.hydra_config import HydraConfig

from nat_plugin.errors import UserError
from nat_plugin.file_errors import explain_file_error

# What fairseq says → what the user is told. Only for errors that nothing of ours can see coming.
_KNOWN = (
    (
        re.compile("Cannot find FullyShardedDataParallel"),
        "--ddp-backend fully_sharded needs fairscale, which does not work with this stack: use pytorch_ddp or "
        "legacy_ddp.",
    ),
    (
        re.compile(r"tokenizer\.source_lang=null"),
        "--tokenizer moses has to know the languages: add --source-lang and --target-lang.",
    ),
    (
        re.compile("Must specify batch size"),
        "the batch size is missing: give --max-tokens, or --batch-size.",
    ),
)


def install() -> None:
    previous = sys.excepthook
    if getattr(previous, "says_one_sentence", False):
        return

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sentence = explain(error)
        if sentence is None:
            previous(kind, error, trace)
        else:
            print(f"error: {sentence}", file=sys.stderr)

    hook.says_one_sentence = True  # type: ignore[attr-defined]
    sys.excepthook = hook
    if HydraConfig.initialized():
        # Hydra prints a traceback of its own and leaves, unless it is told to let errors through to the hook above.
        os.environ.setdefault("HYDRA_FULL_ERROR", "1")


def explain(error: BaseException) -> str | None:
    """What the user is told of an error that nobody caught; None where only a traceback helps."""
    for cause in _chain(error):
        if isinstance(cause, UserError):
            return str(cause)
        if isinstance(cause, FloatingPointError):  # how fairseq's trainer reports a loss that is not finite
            return (
                f"training stopped because {cause}: the last checkpoint is as it was, and the same flags lead here "
                "again; lower --lr, raise --warmup-updates or set --clip-norm, and go on from it, or begin anew."
            )
        if isinstance(cause, UnicodeDecodeError):
            return (
                f"a text is not valid UTF-8 ({cause.reason}, byte 0x{cause.object[cause.start]:02x}): convert it with "
                "iconv, or prepare it with scripts/prepare.py, which names the line."
            )
    return _explain_outermost(error)


def _explain_outermost(error: BaseException) -> str | None:
    text = str(error)
    for pattern, sentence in _KNOWN:
        if pattern.search(text):
            return sentence
    if isinstance(error, (AssertionError, ValueError)) and text.startswith("--"):  # fairseq on a flag: a sentence
        return f"{text.rstrip('.!')}."
    if isinstance(error, SyntaxError) and error.filename == "<unknown>":  # of ast.literal_eval on a flag
        return f"a flag that takes a Python value, such as --model-overrides, holds none ({error.msg}): correct it."
    if isinstance(error, FileExistsError) and error.errno is None:  # raised by fairseq itself, with a path alone
        return f"{text} exists already: remove it, or choose another folder."
    if isinstance(error, OSError) and error.strerror:
        return explain_file_error(error)
    if type(error).__name__ == "ProcessRaisedException":  # one process a GPU: its error arrives as text
        told = re.search(r"^(?:[\w.]+\.)?UserError: (.+)$", text, re.MULTILINE)
        return told.group(1) if told else None
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from or while handling: fairseq wraps some errors, and its search for the origin
    of a NaN can fail on its own."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
