"""The one exception for mistakes that a user can mend."""

from __future__ import annotations


class UserError(Exception):
    """Bad input: one sentence that names the flag, file or line at fault and says what to do.

    Scripts print the message alone, without a traceback, and exit with status 2 (see ``scripts/lib/cli.py``).
    """
