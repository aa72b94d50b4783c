"""Pictures of the figures (matplotlib, the extra ``plots``)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

logging.getLogger("matplotlib").setLevel(logging.WARNING)  # fairseq lets everybody's debugging through

import matplotlib

matplotlib.use("Agg")  # no window, and none is needed
import matplotlib.pyplot as plt
from matplotlib.ticker import NullLocator

from nat_plugin.files import atomic_write

_STYLES = {"torch": "--", "cpp": "-", "triton": "-"}
_MOST_TICKS = 6
_PROPORTIONAL = {"color": "0.7", "linewidth": 1, "linestyle": ":"}


def plot_scaling(points: Sequence[Mapping[str, Any]], axes: Mapping[str, str], path: Path) -> None:
    """Milliseconds against size on logarithmic axes, one panel an axis; grey dots rise in proportion.

    Args:
        points: each with ``axis``, ``size``, ``title``, ``backend`` and ``ms``.
        axes: key of an axis -> its name.
        path: an SVG file.
    """
    plt.rcParams["svg.fonttype"] = "none"  # text stays text: a smaller file
    plt.rcParams["svg.hashsalt"] = "nat_plugin"  # the same figures give the same file
    figure, panels = plt.subplots(1, len(axes), figsize=(4.2 * len(axes), 6.0), layout="constrained")
    for panel, (axis, name) in zip(panels, axes.items(), strict=True):
        here = [point for point in points if point["axis"] == axis]
        colours: dict[str, str] = {}
        for title in dict.fromkeys(point["title"] for point in here):
            colours[title] = f"C{len(colours)}"
        for title, backend in dict.fromkeys((point["title"], point["backend"]) for point in here):
            line = [point for point in here if (point["title"], point["backend"]) == (title, backend)]
            line.sort(key=lambda point: float(point["size"]))
            sizes, times = [point["size"] for point in line], [point["ms"] for point in line]
            panel.plot(sizes, times, _STYLES[backend], color=colours[title], marker=".", label=f"{title}, {backend}")
            proportional = [times[-1] * size / sizes[-1] for size in sizes]
            panel.plot(sizes, proportional, **_PROPORTIONAL, zorder=0)
        panel.set(xscale="log", yscale="log", xlabel=name, title=f"cost against {name}")
        panel.grid(alpha=0.3)
        sizes_here = sorted({point["size"] for point in here})
        if len(sizes_here) <= _MOST_TICKS:
            panel.set_xticks(sizes_here)
            panel.xaxis.set_major_formatter("{x:g}")
            panel.xaxis.set_minor_locator(NullLocator())
        panel.legend(fontsize="x-small", loc="upper center", bbox_to_anchor=(0.5, -0.15))
    panels[0].set_ylabel("ms")
    with atomic_write(path, "wb") as handle:
        figure.savefig(handle, format="svg", metadata={"Date": None})
    plt.close(figure)
