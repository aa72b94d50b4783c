"""The conditional total correlation C of a data set, as a number or from a file of results."""

from __future__ import annotations

from pathlib import Path

from nat_plugin.errors import UserError
from scripts.lib.results import read_rows


def read_total_correlation(said: str) -> float:
    """C in bits a token.

    Args:
        said: the number, or the JSON of scripts/total_correlation.py, whose rows have it as ``total_correlation``; of
            several rows with different values none can be meant.

    Raises:
        UserError: it is neither.
    """
    try:
        return float(said)
    except ValueError:
        pass
    path = Path(said)
    if not path.is_file():
        raise UserError(
            f"--total-correlation {said} is no number, and no file: give bits a token, or a file of results."
        )
    values = {row["total_correlation"] for row in read_rows(path) if "total_correlation" in row}
    if len(values) != 1 or not all(isinstance(value, int | float) for value in values):
        raise UserError(
            f"--total-correlation {said} has {len(values)} different values of 'total_correlation': give the one that "
            "is meant as a number."
        )
    return float(values.pop())
