"""What all plots share (matplotlib, the extra ``plots``)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write


def load_pyplot() -> Any:
    """matplotlib's pyplot, set up to write SVG files without a window.

    Raises:
        UserError: matplotlib is not installed.
    """
    try:
        logging.getLogger("matplotlib").setLevel(logging.WARNING)  # fairseq lets everybody's debugging through
        import matplotlib
    except ImportError as error:
        raise UserError("the plots need matplotlib: pip install '.[plots]', or give --no-plot.") from error
    matplotlib.use("Agg")  # no window, and none is needed
    from matplotlib import pyplot

    pyplot.rcParams["svg.fonttype"] = "none"  # text stays text: a smaller file
    pyplot.rcParams["svg.hashsalt"] = "nat_plugin"  # the same figures give the same file
    return pyplot


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure as SVG, whole or not at all, and forget it."""
    with atomic_write(path, "wb") as handle:
        figure.savefig(handle, format="svg", metadata={"Date": None})
    load_pyplot().close(figure)


def plain_text(word: str) -> str:
    """A word as matplotlib shows it: it reads what stands between two $ as a formula."""
    return word.replace("$", r"\$")
