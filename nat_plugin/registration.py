"""Registers our parts with fairseq, once a process."""

from __future__ import annotations

import importlib
import pkgutil

from nat_plugin.errors import UserError

_registered = False


def register_all() -> None:
    """Import every module that registers something with fairseq; see :func:`nat_plugin.register`."""
    global _registered
    if _registered:
        return
    _registered = True  # set first: the imports below come back here through nat_plugin/__init__.py
    try:
        importlib.import_module("fairseq")
    except ImportError as error:
        _registered = False
        raise UserError(
            f"fairseq cannot be imported ({error}): install it (`make setup`, or fairseq-fixed on Python 3.11)."
        ) from error
    except ValueError as error:  # upstream fairseq 0.12.2 on Python >= 3.11: mutable dataclass defaults
        _registered = False
        raise UserError(
            f"this build of fairseq does not run on this Python ({error}): install fairseq-fixed, or use Python 3.10."
        ) from error

    from nat_plugin import guards

    guards.install()
    for package in ("nat_plugin.tasks", "nat_plugin.models", "nat_plugin.criterions"):
        _import_submodules(package)


def _import_submodules(package_name: str) -> None:
    package = importlib.import_module(package_name)
    for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
        importlib.import_module(f"{package_name}.{module}")
