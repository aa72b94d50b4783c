"""A model that says nothing is scored, not a reason to crash."""

from __future__ import annotations

import torch

import nat_plugin


def test_fairseqs_bleu_takes_an_empty_hypothesis() -> None:
    nat_plugin.register()
    from fairseq.scoring.bleu import BleuConfig, Scorer

    scorer = Scorer(BleuConfig(pad=1, eos=2, unk=3))
    reference = torch.tensor([5, 6, 7, 8, 2], dtype=torch.int)
    scorer.add(reference, torch.tensor([], dtype=torch.int))
    assert scorer.score() == 0
    assert scorer.stat.reflen == 4
    scorer.add(reference, reference)
    assert scorer.stat.match4 == 1
