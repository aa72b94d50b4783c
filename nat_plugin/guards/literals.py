"""No text of a configuration is run as Python.

fairseq evaluates some options (``adaptive_softmax_cutoff``, the layers of ``fconv``, Adam's betas, …), and a checkpoint
brings its configuration along: what looks like data alone could run anything. Here such a text may be what Python calls
a literal, and sums and products of literals (``[(512, 3)] * 4 + [(512, 2)]``), and nothing else.
"""

from __future__ import annotations

import ast
import operator
import sys
from collections.abc import Callable
from typing import Any

from nat_plugin.errors import UserError

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def install() -> None:
    # `eval` is looked up in the module that calls it before it is looked up among Python's own functions.
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("fairseq", "fairseq_cli"):
            vars(module).setdefault("eval", evaluate)


def evaluate(text: str) -> Any:
    """The value of a literal, or of sums and products of literals.

    Raises:
        UserError: it is anything else.
        TypeError: it is no text, as Python's own ``eval`` has it.
    """
    if not isinstance(text, str):
        raise TypeError(f"eval() takes text here, not {type(text).__name__}")
    try:
        return _value(ast.parse(text.strip(), mode="eval").body)
    except (ValueError, SyntaxError, TypeError) as error:
        shown = text if len(text) <= 60 else text[:59] + "…"
        raise UserError(
            f"a configuration holds {shown!r} where a plain value belongs, and nothing in it was executed: use a "
            "checkpoint written by fairseq-train, or correct the flag."
        ) from error


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left), _value(node.right))
    if isinstance(node, ast.Tuple):
        return tuple(map(_value, node.elts))
    if isinstance(node, ast.List):
        return list(map(_value, node.elts))
    return ast.literal_eval(node)
