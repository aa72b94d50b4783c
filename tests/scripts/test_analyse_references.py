"""scripts/analyse_references.py: figures against sentences one by one, what is written, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from nat_plugin.alignments import axe_loss, ctc_loss
from nat_plugin.analysis.reference_alignment import match_words
from nat_plugin.errors import UserError
from scripts.analyse_references import main
from tests.scripts import tiny_training
from tests.scripts.untrained_runs import copy_run, load_run, make_run, read_row

SENTENCES = tiny_training.SIZES["test"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a second reference: the first one backwards, and one word more."""
    folder = tiny_training.make_data(tmp_path_factory.mktemp("references") / "data")
    lines = (folder / "raw" / "test.bb").read_text(encoding="utf-8").splitlines()
    second = [" ".join([*reversed(line.split()), "t1"]) for line in lines]
    for kind in ("raw", "tok"):
        (folder / kind / "test.bb.1").write_text("".join(f"{line}\n" for line in second), encoding="utf-8")
    return folder


def references(data: Path) -> list[list[str]]:
    names = ("test.bb", "test.bb.1")
    return [(data / "tok" / name).read_text(encoding="utf-8").splitlines() for name in names]


@pytest.mark.parametrize("method", ["cmlm_axe", "ctc"])
def test_the_figures_are_those_of_single_sentences(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    given = {"init": "xavier"} | ({"skip_target_penalty": 2.0} if method == "cmlm_axe" else {})
    run = make_run(data, tmp_path / method, method, **given)
    main([str(run), "--threads", "1", "--max-tokens", "40"])
    shown = capsys.readouterr().out
    row = read_row(run / "results" / "references_test.json")
    assert (row["sentences"], row["references"]) == (SENTENCES, 2)
    model, task = load_run(run, data, "test")
    encode, blank = task.target_dictionary.encode_line, task.blank_idx
    costs, words = [0.0, 0.0], [0, 0]
    with torch.no_grad():
        for place, source in enumerate(task.dataset("test").src):
            encoder_out = model.encode(source[None].long(), torch.tensor([len(source)]))
            upsamples = method == "ctc"
            length = model.upsampled_lengths(encoder_out) if upsamples else model.candidate_lengths(encoder_out, 1)[0]
            logits = model.decode_canvas(torch.full((1, int(length)), task.mask_idx), length, encoder_out)
            for number, text in enumerate(references(data)):
                target = encode(text[place], line_tokenizer=str.split, add_if_not_exist=False, append_eos=False)
                batch = (logits, target[None].long(), length, torch.tensor([len(target)]))
                cost = (
                    ctc_loss(*batch, blank_idx=blank, reduction="sum")
                    if upsamples
                    else axe_loss(*batch, blank_idx=blank, skip_target_penalty=2.0, reduction="sum")
                )
                costs[number] += float(cost)
                words[number] += len(target)
    assert row["slots"]["aligned_by"] == ("ctc" if method == "ctc" else "axe, δ = 2")
    for number, shares in enumerate(row["slots"]["references"]):
        assert shares["cost"] == pytest.approx(costs[number] / words[number], rel=1e-3)
        assert shares["matched"] + shares["substituted"] + shares["skipped_targets"] == pytest.approx(1)
    assert row["slots"]["best"]["cost"] <= min(shares["cost"] for shares in row["slots"]["references"])
    assert sum(row["slots"]["best_counts"]) == SENTENCES
    assert row["slots"]["unaligned"] == 0
    assert row["signature"] in shown
    assert "the best" in shown
    with open(run / "results" / "references_test.slots.tsv", encoding="utf-8", newline="") as handle:
        lines = list(csv.DictReader(handle, delimiter="\t"))
    assert [int(line["sentence"]) for line in lines] == list(range(1, SENTENCES + 1))
    assert [int(line["best_reference"]) for line in lines].count(2) == row["slots"]["best_counts"][1]


def test_translations_are_aligned_as_they_are_decoded(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One says the second reference, the other the first without its first word; the first of them has no slots."""
    first, second = references(data)
    runs = [make_run(data, tmp_path / method, method) for method in ("teacher", "cmlm_ce")]
    said = iter([second, [" ".join(line.split()[1:]) for line in first]])
    monkeypatch.setattr("scripts.lib.in_process.SplitTranslator.translations", lambda *_, **__: next(said))
    output = tmp_path / "both.json"
    main([*map(str, runs), "--threads", "1", "--output", str(output)])
    shown = capsys.readouterr().out
    rows = json.loads(output.read_text(encoding="utf-8"))
    backwards, shorter = (row["translations"] for row in rows)
    assert backwards["references"][1]["matched"] == backwards["best"]["matched"] == 1
    expected = [match_words(line.split(), [text.split()])[0] for line, text in zip(second, first, strict=True)]
    assert sum(match.displaced for match in expected) > 0
    total = sum(match.words for match in expected)
    assert backwards["references"][0]["displaced"] == sum(match.displaced for match in expected) / total
    targets = sum(len(line.split()) for line in first)
    assert shorter["references"][0]["matched"] == pytest.approx((targets - SENTENCES) / targets)
    assert shorter["references"][0]["skipped_targets"] == pytest.approx(SENTENCES / targets)
    assert rows[0]["slots"] is None
    assert rows[1]["slots"]["aligned_by"] == "axe, δ = 1"
    assert "displaced %" in shown
    assert not (runs[0] / "results" / "references_test.slots.tsv").exists()


def test_refuses_in_one_sentence(data: Path, tmp_path: Path) -> None:
    run = make_run(data, tmp_path / "run", "cmlm_ce")
    with pytest.raises(UserError, match="--skip-target-penalty must be 0 or more and finite, not -1"):
        main([str(run), "--skip-target-penalty", "-1"])
    with pytest.raises(UserError, match="--sentences must be at least 1, not 0"):
        main([str(run), "--sentences", "0"])
    copied = copy_run(run, tmp_path / "copied")
    (data / "tok" / "valid.bb.1").write_text("t1\n", encoding="utf-8")
    (data / "raw" / "valid.bb.1").write_text("t1\n", encoding="utf-8")
    with pytest.raises(UserError, match="prepare the data again"):
        main([str(copied), "--split", "valid"])
