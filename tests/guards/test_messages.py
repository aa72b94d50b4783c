"""Which errors end in one sentence, and which in a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from torch.multiprocessing.spawn import ProcessRaisedException

import nat_plugin
from nat_plugin.errors import UserError
from nat_plugin.guards.messages import explain, install

nat_plugin.register()


def raised(make: Callable[[], object]) -> BaseException:
    """What ``make`` raises."""
    try:
        make()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def while_handling(first: BaseException, second: BaseException) -> BaseException:
    """``second``, as if raised while ``first`` was handled."""
    second.__context__ = first
    return second


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (UserError("mend this."), "mend this."),
        (while_handling(UserError("mend this."), Exception("wrapped by fairseq")), "mend this."),
        (while_handling(FloatingPointError("gradients are Nan"), StopIteration()), "stopped because gradients are Nan"),
        (raised(lambda: b"\xff".decode()), "byte 0xff"),
        (raised(lambda: Path("/nowhere/x").read_text()), "/nowhere/x: No such file or directory; correct the path."),
        (FileExistsError("/data/dict.en.txt"), "/data/dict.en.txt exists already"),
        (OSError(28, "No space left on device"), "no space is left (No space left on device); free some"),
        (OSError(122, "Disk quota exceeded", "runs/x"), "runs/x: no space is left (Disk quota exceeded); free some"),
        (
            OSError(30, "Read-only file system", "runs/x"),
            "runs/x: Read-only file system; mend the permissions, or name",
        ),
        (OSError(5, "Input/output error", "runs/x"), "runs/x: Input/output error."),
        (AssertionError("--path required for generation!"), "--path required for generation."),
        (raised(lambda: __import__("ast").literal_eval("{x")), "--model-overrides"),
        (
            ValueError("Error merging override tokenizer.source_lang=null"),
            "--tokenizer moses has to know the languages",
        ),
        (ImportError("Cannot find FullyShardedDataParallel. Please install"), "--ddp-backend fully_sharded"),
        (
            ProcessRaisedException("\n\n-- Process 0 terminated\nnat_plugin.errors.UserError: mend this.\n", 0, 1),
            "mend this.",
        ),
    ],
)
def test_what_a_user_can_mend_is_one_sentence(error: BaseException, sentence: str) -> None:
    told = explain(error)
    assert told is not None
    assert sentence in told
    assert "\n" not in told


@pytest.mark.parametrize(
    "error",
    [
        KeyError("x"),
        AssertionError("a programmer's"),
        RuntimeError("CUDA error"),
        while_handling(FileNotFoundError(2, "No such file", "optional"), KeyError("a bug")),
        ProcessRaisedException("\n\n-- Process 0 terminated\nKeyError: 'x'\n", 0, 1),
        KeyboardInterrupt(),
    ],
)
def test_a_bug_keeps_its_traceback(error: BaseException) -> None:
    assert explain(error) is None


def test_the_last_word_goes_to_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    install()
    sys.excepthook(UserError, UserError("mend this."), None)
    captured = capsys.readouterr()
    assert captured.err == "error: mend this.\n"
    assert captured.out == ""
