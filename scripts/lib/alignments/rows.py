"""The figures of one system, as they are saved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from tqdm import tqdm

from nat_plugin.analysis.alignment_statistics import ExplainedSentence, summarise_alignments
from nat_plugin.errors import UserError
from scripts.lib.alignments.reader import AlignmentReader, Example
from scripts.lib.results import Row
from scripts.lib.signatures import one_line


def read_all(reader: AlignmentReader, places: Sequence[int]) -> tuple[list[ExplainedSentence], list[Example]]:
    """The alignments of all sentences of the split, and the examples in the order of ``places``.

    Raises:
        UserError: no sentence has an alignment.
    """
    sentences: list[ExplainedSentence] = []
    examples: dict[int, Example] = {}
    with tqdm(total=len(reader.dataset), desc="alignments", unit=" sentences", disable=None) as progress:
        for explained, shown in reader.read(places):
            sentences += explained
            examples |= {example.place: example for example in shown}
            progress.update(len(sentences) + reader.unaligned - progress.n)
    if not sentences:
        raise UserError("no target fits its predictions, so that nothing can be aligned: raise --upsample-scale.")
    return sentences, [examples[place] for place in places if place in examples]


def statistics_row(reader: AlignmentReader, sentences: Sequence[ExplainedSentence]) -> Row:
    """What the alignments have in common; ``loss`` is in nats a target, ``loss_bits`` in bits, as training logs it."""
    found = asdict(summarise_alignments(sentences, copies=reader.copies))
    criterion = reader.criterion.cfg
    return {
        "criterion": criterion._name,
        "skip_target_penalty": getattr(criterion, "skip_target_penalty", None),
        "predictions_per_target": getattr(criterion, "predictions_per_target", None),
        "unaligned": reader.unaligned,
        **found,
        "loss_bits": found["loss"] / math.log(2),
    }


def example_row(example: Example) -> Row:
    """One sentence with the numbers of its picture; places are counted from 1, as in the paper."""
    alignment = example.explained.alignment
    return {
        "sentence": example.place + 1,
        "source": example.source,
        "target": example.target,
        "alpha": [[slot + 1 for slot in slots] for slots in alignment.slots_of_targets],
        "operators": [step.operator.value for step in alignment.steps],
        "probabilities": example.explained.probabilities,
        "pattern": alignment.pattern,
        "inputs": example.inputs,
        "predictions": [[{"token": token, "probability": p} for token, p in top] for top in example.predictions],
    }


def signature(row: Row, versions: Mapping[str, str], *, device: str) -> str:
    """What the figures depend on beside checkpoint and data, in one line."""
    parts = {
        "criterion": row["criterion"],
        "δ": row["skip_target_penalty"],
        "predictions a target": row["predictions_per_target"],
        "split": row["split"],
        "sentences": row["sentences"],
        "unaligned": row["unaligned"],
        "label smoothing": 0,
        "dtype": "fp32",
        "device": device,
        **versions,
    }
    return one_line(parts)
