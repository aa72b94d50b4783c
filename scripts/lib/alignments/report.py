"""Alignments as text: the table of a system, the table of several, and one sentence (Haviv et al. 2021, Figure 3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tabulate import tabulate

from nat_plugin.analysis.monotonic_alignment import Operator
from scripts.lib.alignments.reader import Example
from scripts.lib.results import Row

TSV_COLUMNS = ("system", "split", "measure", "name", "value")


def statistics_table(row: Row) -> str:
    """Everything about one system."""
    operators = [
        [name, _percent(found["share"]), _probability(found["probability"])]
        for name, found in row["operators"].items()
        if found["count"]
    ]
    patterns = [[found["pattern"], found["count"], _percent(found["share"])] for found in row["patterns"]]
    last = row["last_prediction"]
    own = row["own_input"]
    fed = "" if own is None else f"; predictions held against their own input: {_percent(own)}"
    left_out = f", without {row['unaligned']} that do not fit" if row["unaligned"] else ""
    clone = (
        f"the last prediction is used more than once in {_percent(last['share'])} of the sentences: it gives its first "
        f"target {_probability(last['first'])}, its last {_probability(last['last'])} on average"
        if last["sentences"]
        else "the last prediction is never used more than once"
    )
    return "\n".join(
        [
            f"{row['system']}, {row['split']}, aligned by {_aligner(row)}: {row['sentences']} sentences{left_out}, "
            f"{row['targets']} targets, {row['slots']} predictions",
            f"loss {row['loss']:.4f} nats a target ({row['loss_bits']:.3f} bits); trivial alignments: "
            f"{_percent(row['trivial'])}; delimiter, align …, clone prediction: {_percent(row['constant'])}{fed}",
            clone,
            "",
            tabulate(
                operators, ["operator", "share", "mean probability"], colalign=("left", "right", "right"),
                disable_numparse=True,
            ),
            "",
            tabulate(
                patterns, ["most frequent patterns", "sentences", "share"], colalign=("left", "right", "right"),
                disable_numparse=True,
            ),
        ]
    )  # fmt: skip


def comparison_table(rows: Iterable[Row]) -> str:
    """One line a system."""
    body = [
        [
            row["system"],
            _aligner(row),
            f"{row['loss_bits']:.3f}",
            _percent(row["trivial"]),
            _percent(row["constant"]),
            "–" if row["own_input"] is None else _percent(row["own_input"]),
            *(_percent(row["operators"][operator.value]["share"]) for operator in Operator),
            _probability(row["last_prediction"]["both"]),
        ]
        for row in rows
    ]
    headers = [
        "system", "aligned by", "loss, bits", "trivial", "constant", "own input", *(name.value for name in Operator),
        "p(last clone)",
    ]  # fmt: skip
    return tabulate(body, headers, colalign=("left", "left", *("right",) * (len(headers) - 2)), disable_numparse=True)


def example_text(example: Example) -> str:
    """One sentence: α, and what each prediction is given, is held against, and says.

    The paper's figures have a column a prediction; here it is a line, so that sentences of any length fit.
    """
    alignment = example.explained.alignment
    alpha = ", ".join("+".join(str(slot + 1) for slot in slots) for slots in alignment.slots_of_targets)
    held: list[list[str]] = [[] for _ in range(alignment.slots)]
    for step, probability in zip(alignment.steps, example.explained.probabilities, strict=True):
        what = "ε" if step.target is None else f"{example.target[step.target]} ({step.target + 1})"
        held[step.slot].append(f"{step.operator.value} {what} {_probability(probability)}")
    body = [
        [
            slot + 1,
            example.inputs[slot],
            "; ".join(held[slot]),
            "  ".join(f"{token} {_probability(probability)}" for token, probability in example.predictions[slot]),
        ]
        for slot in range(alignment.slots)
    ]
    headers = ["", "input", "held against", f"top {len(example.predictions[0]) if example.predictions else 0}"]
    return "\n".join(
        [
            f"sentence {example.place + 1}: {' '.join(example.source)}",
            f"target: {' '.join(example.target)}",
            f"α = ({alpha}): {alignment.pattern}",
            tabulate(body, headers, colalign=("right", "left", "left", "left"), disable_numparse=True),
        ]
    )


def tsv(rows: Sequence[Row]) -> str:
    """All shares, one a line."""
    lines = ["\t".join(TSV_COLUMNS)]
    for row in rows:
        cells = [
            *(("share", name, row[name]) for name in ("trivial", "constant", "own_input")),
            ("loss", "nats a target", row["loss"]),
            *(("operator", name, found["share"]) for name, found in row["operators"].items()),
            *(("probability", name, found["probability"]) for name, found in row["operators"].items()),
            *(("last prediction", name, value) for name, value in row["last_prediction"].items()),
            *(("pattern", found["pattern"], found["share"]) for found in row["patterns"]),
        ]
        for measure, name, value in cells:
            if value is not None:
                lines.append("\t".join([row["system"].replace("\t", " "), row["split"], measure, name, f"{value:.8g}"]))
    return "".join(f"{line}\n" for line in lines)


def _aligner(row: Row) -> str:
    if row["skip_target_penalty"] is not None:
        return f"{row['criterion']} δ = {row['skip_target_penalty']:g}"
    if row["predictions_per_target"] is not None:
        return f"{row['criterion']} × {row['predictions_per_target']}"
    return str(row["criterion"])


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _probability(value: float | None) -> str:
    if value is None:
        return "–"
    if 0 < value < 0.001:
        return f"{value:.0e}"
    return f"{value:.3f}".removeprefix("0") if value else "0"
