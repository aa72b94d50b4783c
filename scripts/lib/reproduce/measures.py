"""The figures of tables: how each is called, in which unit it is shown, and where it stands in a row of ours."""

from __future__ import annotations

from typing import NamedTuple


class Measure(NamedTuple):
    """A column.

    Attributes:
        name: its key in our rows.
        heading: in tables.
        factor: from our unit to the one that is shown, which is the paper's.
        decimals: in tables.
    """

    name: str
    heading: str
    factor: float = 1
    decimals: int = 2

    def show(self, value: float | None) -> str:
        """In the unit of tables."""
        return "–" if value is None else f"{value:.{self.decimals}f}"


MEASURES = {
    measure.name: measure
    for measure in (
        Measure("bleu", "BLEU"),
        Measure("tokenized_bleu", "tok. BLEU"),
        Measure("tokenized_bleu_uncased", "tok. BLEU, uncased"),
        Measure("brevity_penalty", "brevity", decimals=3),
        Measure("length_ratio", "length", decimals=3),
        Measure("repeated_tokens", "repeated %", factor=100),
        Measure("repetitions_per_sentence", "reps/sentence"),
        Measure("empty_outputs", "empty %", factor=100),
        Measure("l1_ms", "L1 ms", decimals=1),
        Measure("speedup", "L1 speed-up", decimals=1),
        Measure("l1_cpu_ms", "L1 CPU ms", decimals=1),
        Measure("l1_cpu_speedup", "L1 CPU speed-up", decimals=1),
        Measure("lmax_ms", "Lmax ms"),
        Measure("updates", "updates", decimals=0),
        Measure("parameters", "parameters, M", factor=1e-6),
        Measure("training_minutes", "training, min", decimals=1),
    )
}
