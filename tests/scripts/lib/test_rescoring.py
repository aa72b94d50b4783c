"""Choosing by β from n-best lists: what decoding with β would choose, with one decoding for all β."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import pytest

from nat_plugin.decoding.ctc_beam import CtcBeamOptions, rank
from nat_plugin.decoding.ctc_search import Found
from scripts import tune
from scripts.lib import rescoring
from scripts.lib.generation import Generation, Hypothesis
from scripts.lib.rescoring import first_by
from scripts.lib.tuning import decoding

FOUND = [
    [Found((1, 2), -2.0, -9.0), Found((1, 2, 3), -2.5, -8.0), Found((1, 2, 3, 4, 5), -4.5, -12.0)],
    [Found((7,), -0.1, -3.0), Found((7, 8), -4.0, -5.0), Found((), -6.0, -2.0)],
]


def printed(alpha: float) -> dict[int, list[Hypothesis]]:
    """The two sentences' n-best lists as fairseq-generate prints them: without bonus, in base 2."""
    ranked = [rank(found, CtcBeamOptions(lm_path="lm", lm_weight=alpha)) for found in FOUND]
    return {
        index: [Hypothesis(" ".join(map(str, entry.tokens)), entry.score / math.log(2)) for entry in entries]
        for index, entries in enumerate(ranked)
    }


@pytest.mark.parametrize("form", ["log", "linear"])
@pytest.mark.parametrize("beta", [0.0, 0.7, 1.5, 3.0])
@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_chooses_as_decoding_would(alpha: float, beta: float, form: str) -> None:
    options = CtcBeamOptions(lm_path="lm", lm_weight=alpha, token_bonus=beta, bonus_form=form)
    for index, hypotheses in printed(alpha).items():
        expected = " ".join(map(str, rank(FOUND[index], options)[0].tokens))
        assert first_by(hypotheses, beta, form).tokens == expected


class FakeEvaluation:
    """Stands in for a run with CTC beam search; the longer the output the better its BLEU."""

    decodings: ClassVar[list[dict[str, Any]]] = []
    stored_lists: ClassVar[dict[str, Generation]] = {}
    system = "system"

    def __init__(self, run: Path, split: str, overrides: dict[str, Any]) -> None:
        self.flags = {"ctc_beam": 3, **overrides}
        self.sources, self.stem, self.split = ["a", "b"], str(overrides), split
        self.checkpoint = run / "checkpoint.pt"
        self.model = type("Model", (), {"run": type("Run", (), {"folder": run})})

    @classmethod
    def plan(cls, run: Path, *, split: str, checkpoint: str | None, overrides: dict[str, Any]) -> FakeEvaluation:
        assert checkpoint is None
        return cls(run, split, overrides)

    def translate(self, threads: int | None) -> Generation:
        FakeEvaluation.decodings.append(self.flags)
        FakeEvaluation.stored_lists[self.stem] = Generation(printed(self.flags["ngram_lm_weight"]), 2, 0.1, 1)
        return FakeEvaluation.stored_lists[self.stem]

    def stored(self) -> None:
        return None

    def stored_generation(self) -> Generation | None:
        return FakeEvaluation.stored_lists.get(self.stem)

    def store(self, best: list[str], generation: Generation) -> dict[str, Any]:
        length = sum(len(line.split()) for line in best)
        figures = ("bleu", "chrf", "tokenized_bleu", "brevity_penalty", "repeated_tokens", "length_ratio")
        return {key: float(length) for key in figures}

    def run(self, threads: int | None) -> dict[str, Any]:
        raise AssertionError("nothing is to be decoded again for a bonus")


def test_one_decoding_serves_every_bonus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (decoding, rescoring):
        monkeypatch.setattr(module, "Evaluation", FakeEvaluation)
    FakeEvaluation.decodings, FakeEvaluation.stored_lists = [], {}
    (tmp_path / "checkpoint.pt").touch()
    grids = ["ngram_lm_weight=0.0,0.3", "token_bonus=0,1,4", "length_bonus_form=log,linear"]
    tune.main([str(tmp_path), *grids])
    assert [(flags["ngram_lm_weight"], flags["token_bonus"], flags["nbest"]) for flags in FakeEvaluation.decodings] == [
        (0.0, 0.0, 3),
        (0.3, 0.0, 3),
    ]
    output = capsys.readouterr().out
    assert "brevity" in output
    assert "7.00 with ngram_lm_weight 0.0, token_bonus 4, length_bonus_form linear" in output
    begun = [line for line in output.splitlines() if line.startswith("ngram_lm_weight")]
    assert [line.split(",")[0] for line in begun[:2]] == ["ngram_lm_weight 0.0", "ngram_lm_weight 0.3"], (
        "several processes begin with different decodings"
    )
    tune.main([str(tmp_path), grids[0], "token_bonus=2,3", "--no-plot"])
    assert len(FakeEvaluation.decodings) == 2, "a later search reads the lists of the first"


@pytest.mark.parametrize(
    ("flags", "serves"),
    [
        ({}, True),
        ({"ctc_search": "flashlight", "latent_samples": 3}, True),
        ({"ctc_beam": 0}, False),
        ({"remove_bpe": "@@ "}, False),
        ({"ctc_search": "torch"}, False),
        ({"reranker": "teacher.pt"}, False),
        ({"deduplicate": True}, False),
        ({"ctc_candidates": 2}, False),
    ],
)
def test_decodes_again_where_the_list_would_be_another(tmp_path: Path, flags: dict[str, Any], serves: bool) -> None:
    planned: Any = FakeEvaluation(tmp_path, "valid", flags)
    assert rescoring.NBestLists.can_serve(planned, {"token_bonus": 1.0}) == serves
    assert not rescoring.NBestLists.can_serve(planned, {"ngram_lm_weight": 1.0})
