"""Replacing a function of fairseq by a guarded one, once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

Function = Callable[..., Any]


def replace(owner: Any, name: str, make: Callable[[Function], Function]) -> None:
    """Put ``make(original)`` in the place of ``owner.name``, unless that was done before.

    Args:
        owner: a module or a class; a static method stays one.
        make: gets the original function and returns what calls it.
    """
    original = getattr(owner, name)
    if getattr(original, "is_guard", False):
        return
    guarded = functools.wraps(original)(make(original))
    guarded.is_guard = True  # type: ignore[attr-defined]
    is_static = isinstance(inspect.getattr_static(owner, name), staticmethod)
    setattr(owner, name, staticmethod(guarded) if is_static else guarded)
