"""What is saved of a comparison: figures with their spread, and what they were measured with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import quantiles
from typing import Any

from scripts.lib.cli import shell
from scripts.lib.evaluation import Evaluation
from scripts.lib.generation import displayed_path
from scripts.lib.latency.one_by_one import OneByOne
from scripts.lib.latency.throughput import Throughput
from scripts.lib.latency.translator import Translator
from scripts.lib.measuring.timing import Spread, spread
from scripts.lib.signatures import one_line

Row = dict[str, Any]

MEASURES = {
    "l1_gpu": "L1, GPU",
    "l1_cpu": "L1, CPU",
    "lmax_gpu": "Lmax, GPU",
    "lmax_cpu": "Lmax, CPU",
}
"""Measure → heading; the first three are the paper's."""


def device_of(measure: str) -> str:
    """``cuda`` or ``cpu``."""
    return "cuda" if measure.endswith("gpu") else "cpu"


def describe_system(evaluation: Evaluation, translator: Translator, passes: float | None) -> Row:
    """What is the same in every measure.

    Args:
        passes: decoder passes a sentence, None where there is one a token.
    """
    kind = "autoregressive" if passes is None else ("iterative" if passes > 1 else "one pass")
    return {
        "system": evaluation.system,
        "kind": kind,
        "passes": passes,
        "parameters": translator.parameters,
        "method": evaluation.model.method,
        "data": displayed_path(evaluation.data.folder),
        "split": evaluation.split,
        "checkpoint": displayed_path(evaluation.checkpoint),
        "decoding": evaluation.flags,
        "command": shell(evaluation.command),
        "measures": {},
    }


def one_by_one_figures(found: OneByOne, baseline: OneByOne) -> Row:
    """L1 of one system; ``speedup`` is over the baseline's repeat beside it."""
    return {
        **_times(found.means, baseline.means),
        "sentence_ms": _sentence_percentiles(found),
        "batch": "1 sentence",
        "peak_bytes": found.peak_bytes,
    }


def throughput_figures(found: Throughput, baseline: Throughput) -> Row:
    """Lmax of one system."""
    return {
        **_times(found.ms, baseline.ms),
        "batch": f"{found.size} tokens",
        "batches": found.batches,
        "peak_bytes": found.peak_bytes,
        "attempts": [asdict(attempt) for attempt in found.attempts],
    }


def _times(own: Sequence[float], baseline: Sequence[float]) -> Row:
    ms, faster = spread(list(own)), spread([theirs / mine for theirs, mine in zip(baseline, own, strict=True)])
    return {
        "ms": ms.median,
        "ms_quartiles": _quartiles(ms),
        "ms_repeats": list(own),
        "speedup": faster.median,
        "speedup_quartiles": _quartiles(faster),
    }


def _quartiles(found: Spread) -> list[float]:
    return [found.low, found.high]


def _sentence_percentiles(found: OneByOne) -> dict[str, float]:
    """Of single sentences, over all repeats: how long half, nine tenths and 99 of a hundred wait at most."""
    values = [ms for repeat in found.ms for ms in repeat]
    if len(values) == 1:
        return dict.fromkeys(("p50", "p90", "p99"), values[0])
    cuts = quantiles(values, n=100, method="inclusive")
    return {"p50": cuts[49], "p90": cuts[89], "p99": cuts[98]}


def signature(measure: str, row: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    """Everything that a time depends on beside the checkpoint, in one line.

    Args:
        row: of one system, with its figures in this measure.
        results: the whole comparison.
    """
    machine, settings = results["machine"], results["settings"]
    device = machine.get("gpu", "GPU") if device_of(measure) == "cuda" else machine["cpu"]
    parts = {
        "measure": measure,
        "device": device,
        "threads": settings["threads"],
        "clock": settings["clock"],
        "dtype": row["measures"][measure]["dtype"],
        "batch": row["measures"][measure]["batch"],
        "flags": " ".join(f"{key}={_last_part(value)}" for key, value in sorted(row["decoding"].items())),
        "sentences": settings["sentences"],
        "repeats": settings["repeats"],
        "warm-up": settings["warm_up"],
        **machine["versions"],
    }
    return one_line(parts)


def _last_part(value: Any) -> Any:
    """A path without its folders, which differ from machine to machine."""
    return value.rpartition("/")[2] if isinstance(value, str) else value
