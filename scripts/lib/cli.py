"""What every script shares: one sentence for a mistake, a non-zero exit, and no traceback for bad input."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence

from nat_plugin.errors import UserError
from nat_plugin.file_errors import explain_file_error


def run_main(main: Callable[[], int | None]) -> None:
    """Run a script's ``main`` and exit: 0 when it returns None or 0, 2 after a :class:`UserError`, 1 when the disk is
    full or a file cannot be used, 130 after Ctrl-C."""
    try:
        status = main() or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("stopped: what is finished is kept; run the same command again to go on.", file=sys.stderr)
        status = 130
    except BrokenPipeError:
        sys.stderr.close()
        status = 1
    except OSError as error:
        print(f"error: {explain_file_error(error)}", file=sys.stderr)
        status = 1
    sys.exit(status)


def script_parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser whose help begins with a script's documentation: its first paragraph above the flags, the rest below."""
    description, _, epilog = (doc or "").partition("\n\n")
    return argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def shell(command: Sequence[object]) -> str:
    """The command as a user would type it, quoted for a POSIX shell."""
    return shlex.join(str(part) for part in command)
