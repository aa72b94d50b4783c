"""What the documentation shows is what the saved results say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import dynamic_kd, export, freed_memory, latency_report, report, scaling, training_step

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("name", "page", "render"),
    [
        ("benchmark_alignments", "alignments", report.render),
        ("benchmark_scaling", "alignments", scaling.render),
        ("benchmark_training_step", "alignments", training_step.render),
        ("benchmark_dynamic_kd", "dynamic_kd", dynamic_kd.render),
        ("benchmark_latency", "latency", latency_report.render),
        ("benchmark_export", "export", export.render),
        ("benchmark_freed_memory", "training", freed_memory.render),
    ],
)
def test_the_documented_table_is_that_of_the_saved_results(name: str, page: str, render: object) -> None:
    saved = (ROOT / "results" / f"{name}.json").read_text(encoding="utf-8")
    page = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    assert callable(render)
    assert render(json.loads(saved)) in page
