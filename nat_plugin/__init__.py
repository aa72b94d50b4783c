"""nat_plugin: non-autoregressive translation for fairseq (``fairseq-train --user-dir nat_plugin …``).

Importing this package stays light: :mod:`nat_plugin.alignments` and :mod:`nat_plugin.canvas` need torch alone. When
fairseq is already there (it imports the ``--user-dir`` itself) everything is registered at once; scripts and tests call
:func:`register`.
"""

from __future__ import annotations

import sys

__version__ = "0.1.0"


def register() -> None:
    """Register the task, models and criterions with fairseq; safe to call any number of times.

    Raises:
        nat_plugin.errors.UserError: fairseq is not installed, or it cannot be imported on this Python.
    """
    from nat_plugin.registration import register_all

    register_all()


if "fairseq" in sys.modules:
    register()
