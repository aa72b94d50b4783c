"""Configurations hold values, and code in them is not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fairseq import utils
from fairseq.models import fconv
from fairseq.optim import adam

import nat_plugin
from nat_plugin.errors import UserError
from nat_plugin.guards.literals import evaluate

nat_plugin.register()


@pytest.mark.parametrize(
    "text",
    [
        "(0.9, 0.999)",
        "[(512, 3)] * 2 + [(1024, 1)]",  # fconv's layers
        "[(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512,2,2)] * 2",
        "1e-3",
        "[0.5] * 3",
        "-1",
        "{'lenpen': 1, 'beam': [5]}",
        "True",
        "None",
        "(1 - 1e-3, 2 / 4)",
        " 'words' ",
    ],
)
def test_values_are_pythons_own(text: str) -> None:
    assert evaluate(text) == eval(text.strip())


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "[x for x in (1, 2)]",
        "(lambda: 1)()",
        "os.environ",
        "9 ** 9",
        "f'{1}'",
        "[__import__('os')]",
        "'a' - 1",
        "1 +",
        "",
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="nothing in it was executed"):
        evaluate(text)


def test_fairseq_evaluates_nothing_else(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    code = f"[__import__('pathlib').Path({str(mark)!r}).touch()]"
    callers: list[Any] = [utils.eval_str_list, utils.eval_str_dict, utils.eval_bool]
    for caller in callers:
        with pytest.raises(UserError, match="a plain value"):
            caller(code)
    assert not mark.exists()
    assert fconv.eval is adam.eval is evaluate
    assert utils.eval_str_list("0.1,0.2") == [0.1, 0.2]
    assert utils.eval_bool("False") is False
    assert utils.eval_bool(3, default=True) is True  # no text: fairseq goes by the error
