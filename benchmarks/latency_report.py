"""The table that benchmarks/latency.py prints, from what it saves."""

from __future__ import annotations

from typing import Any, Optional

from benchmarks.pivot import markdown
from scripts.lib.measuring.machine import describe_in_words

Results = dict[str, Any]


def render(results: Results) -> str:
    """Everything as Markdown; nothing in it that is not in ``results``."""
    about = (
        f"Random weights, V = {results['vocabulary']}, sources and translations of {results['length']} tokens, "
        f"{results['dtype']}, {results['repeats']} repeats; medians, quartiles in brackets; GFLOP: "
        "floating-point operations of a sentence's matrix products, 10⁹. "
        f"{describe_in_words(results)}; load average {results['machine']['load_average']:.1f}. `{results['command']}`"
    )
    parts = [about]
    for part, title in (("l1", _L1), ("lmax", _LMAX)):
        if any(part in row for row in results["systems"]):
            where = "GPU" if results["device"] == "cuda" else "CPU"
            parts.append(f"{title.format(where=where)}:\n\n{_table(results, part)}")
    return "\n\n".join(parts)


_L1 = "**L1, {where}: one sentence alone**, times as fast as fairseq's beam 5"
_LMAX = "**Lmax, {where}: a sentence in large batches**, times as fast as 12 encoder layers and 1 decoder layer, beam 1"


def _table(results: Results, part: str) -> str:
    body = []
    for row in results["systems"]:
        if part not in row:
            continue
        found = row[part]
        bar: Optional[float] = row["bars"].get(part)
        faster = found["speedup"]
        body.append(
            [
                row["system"],
                f"{row['gflop']:.2f}",
                _with_quartiles(found["ms"], found["ms_quartiles"], 1),
                _with_quartiles(faster, found["speedup_quartiles"], 2),
                *([found["batch"]] if part == "lmax" else []),
                "–" if bar is None else f"≥ {bar:g}",
                "" if bar is None else ("meets" if faster >= bar else "misses"),
            ]
        )
    headers = ["", "GFLOP", "ms", "times as fast", *(["batch"] if part == "lmax" else []), "bar", ""]
    return markdown(body, headers, left=1)


def _with_quartiles(median: float, quartiles: list[float], decimals: int) -> str:
    low, high = quartiles
    return f"{median:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]"
