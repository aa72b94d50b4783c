"""What reaches the output, and its score."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nat_plugin.decoding.finalising import finalise

PAD, BLANK, MASK = 1, 8, 9
DROPPED = torch.tensor([0, 1, 2, BLANK, MASK])


def runs(slots: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Each run of one symbol, and its best score."""
    return [(token, max(score for _, score in run)) for token, run in groupby(slots, key=itemgetter(0))]


@given(
    rows=st.lists(st.lists(st.sampled_from([3, 4, 5, BLANK, MASK, 2]), min_size=1, max_size=9), min_size=1, max_size=4),
    padding=st.integers(0, 3),
    collapse=st.booleans(),
    deduplicate=st.booleans(),
)
def test_equals_a_plain_loop(rows: list[list[int]], padding: int, collapse: bool, deduplicate: bool) -> None:
    width = max(map(len, rows)) + padding
    tokens = torch.tensor([row + [5] * (width - len(row)) for row in rows])  # beyond the length stands rubbish
    scores = -torch.rand(len(rows), width)
    lengths = torch.tensor([len(row) for row in rows])
    final = finalise(tokens, scores, lengths, dropped=DROPPED, pad_idx=PAD, collapse=collapse, deduplicate=deduplicate)
    for index, row in enumerate(rows):
        kept: list[tuple[int, float]] = []
        slots = list(zip(row, scores[index, : len(row)].tolist(), strict=True))
        for token, score in runs(slots) if collapse else slots:
            if token in DROPPED.tolist() or (deduplicate and kept and kept[-1][0] == token):
                continue
            kept.append((token, score))
        n = int(final.lengths[index])
        assert final.tokens[index, :n].tolist() == [token for token, _ in kept]
        assert final.scores[index, :n].tolist() == pytest.approx([score for _, score in kept])
        assert (final.tokens[index, n:] == PAD).all()
        expected = sum(score for _, score in kept) / len(kept) if kept else float("-inf")
        assert final.mean_scores()[index].item() == pytest.approx(expected)
