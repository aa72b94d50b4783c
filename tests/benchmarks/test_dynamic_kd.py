"""The step with a choice among targets: it runs, has as many different lengths as asked for, and chooses the first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import dynamic_kd
from benchmarks.dynamic_kd import make_candidates, selecting, with_candidates
from benchmarks.training import Training
from nat_plugin.errors import UserError


def test_quick_run_saves_a_row_for_each_number_of_lengths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "kd.json"
    dynamic_kd.main(["--quick", "--different", "1", "4", "--output", str(output)])
    results = json.loads(output.read_text(encoding="utf-8"))
    assert [row["different_lengths"] for row in results["time"]] == [1, 4]
    assert all(row["ratio"] > 0 and row["bar"] == 1.6 and 0 < row["selection_share"] < 1 for row in results["time"])
    assert "× GLAT" in capsys.readouterr().out


@pytest.mark.parametrize("different", [1, 3, 5])
def test_the_candidates_are_what_the_row_says(different: int) -> None:
    training = Training("glat_tiny", 60, 3, 8, "glancing", "cpu")
    candidates = make_candidates(training, 5, different)
    pad = training.dictionary.pad()
    for tokens, lengths in zip(candidates["tokens"].flatten(0, 1), candidates["lengths"].flatten(), strict=True):
        assert int(tokens.ne(pad).sum()) == int(lengths)
    assert [len(set(lengths)) for lengths in candidates["lengths"].tolist()] == [different] * 3
    chosen = selecting(training, candidates)()
    assert chosen.choice.tolist() == [0, 0, 0]  # type: ignore[attr-defined]
    with_candidates(training, candidates)()
    assert "candidates" not in training.sample


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--different", "6"], "--different must be from 1 to --candidates"),
        (["--candidates", "0"], "must be at least 1"),
        (["--arch", "nat_base"], "is no CMLM or GLAT preset"),
    ],
)
def test_refuses_in_one_sentence(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        dynamic_kd.main([*arguments, "--output", str(tmp_path / "none.json")])
