"""Tables of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

from scripts.lib.latency.rows import MEASURES

_MIB = 2**20
TSV_COLUMNS = (
    "measure", "system", "kind", "bleu", "ms", "ms_low", "ms_high", "speedup", "speedup_low", "speedup_high", "batch",
    "dtype", "peak_mib",
)  # fmt: skip


def table(measure: str, results: Mapping[str, Any]) -> str:
    """One measure for people: medians, quartiles in brackets."""
    body = []
    for row in results["systems"]:
        found = row["measures"][measure]
        cells = [
            row["system"],
            f"{found['bleu']:.2f}",
            _with_quartiles(found["ms"], found["ms_quartiles"]),
            _with_quartiles(found["speedup"], found["speedup_quartiles"]),
        ]
        cells.append(f"{found['sentence_ms']['p99']:.1f}" if "sentence_ms" in found else found["batch"])
        peak = peak_mib(found)
        body.append([*cells, "–" if peak is None else f"{peak:.0f}"])
    last = "99 of 100 ms" if measure.startswith("l1") else "batch"
    headers = ["system", "BLEU", "ms/sentence", "times as fast", last, "peak MiB"]
    shown = tabulate(body, headers, colalign=("left", *("right",) * 5), disable_numparse=True)
    return f"{MEASURES[measure]}: {_explained(measure, results)}\n{shown}"


def _with_quartiles(median: float, quartiles: list[float]) -> str:
    return f"{_figures(median)} [{_figures(quartiles[0])}, {_figures(quartiles[1])}]"


def _figures(value: float) -> str:
    """Three figures that mean something, four above 1000."""
    return f"{value:.2f}" if value < 10 else (f"{value:.1f}" if value < 100 else f"{value:.0f}")


def _explained(measure: str, results: Mapping[str, Any]) -> str:
    settings, machine = results["settings"], results["machine"]
    on_cpu = f"{machine['cpu']}, {settings['threads']} thread(s)" + ", CPU time" * (settings["clock"] == "cpu")
    where = machine.get("gpu") if measure.endswith("gpu") else on_cpu
    how = "each sentence alone" if measure.startswith("l1") else "large batches"
    return f"{how}; {where}; {settings['sentences']} sentences, {settings['repeats']} repeats"


def peak_mib(found: Mapping[str, Any]) -> float | None:
    """Memory at the peak with the model itself, MiB; None where it could not be measured."""
    if found["peak_bytes"] is None or found["held_bytes"] is None:
        return None
    return float(found["peak_bytes"] + found["held_bytes"]) / _MIB


def tsv(results: Mapping[str, Any]) -> str:
    """The numbers of the plot and the tables, one line a system and measure."""
    lines = ["\t".join(TSV_COLUMNS)]
    for measure in MEASURES:
        for row in results["systems"]:
            found = row["measures"].get(measure)
            if found is None:
                continue
            peak = peak_mib(found)
            cells = [
                measure,
                row["system"].replace("\t", " "),
                row["kind"],
                f"{found['bleu']:.4f}",
                *(f"{value:.6g}" for value in (found["ms"], *found["ms_quartiles"])),
                *(f"{value:.6g}" for value in (found["speedup"], *found["speedup_quartiles"])),
                found["batch"],
                found["dtype"],
                "" if peak is None else f"{peak:.1f}",
            ]
            lines.append("\t".join(cells))
    return "".join(f"{line}\n" for line in lines)
