"""scripts/analyse_alignments.py: figures against sentences one by one, what is written, and what is refused."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from nat_plugin.alignments import axe_loss, ctc_best_alignment, ctc_fits, ctc_loss
from nat_plugin.errors import UserError
from scripts.analyse_alignments import main
from tests.scripts import tiny_training
from tests.scripts.untrained_runs import copy_run, load_run, make_run, read_row

SENTENCES = tiny_training.SIZES["valid"]
METHODS = ["at_axe", "at_causal_axe", "at_ctc_doubled", "teacher", "cmlm_axe", "ctc"]


@pytest.fixture(scope="module")
def runs(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Untrained models; what they say depends on what they see."""
    folder = tmp_path_factory.mktemp("runs")
    made = {method: make_run(tiny_data, folder / method, method) for method in METHODS}
    for run in made.values():
        path = run / "checkpoints" / "checkpoint_last.pt"
        state = torch.load(path)
        for name, parameter in state["model"].items():
            if name.startswith("decoder.layers") and name.endswith("weight"):
                parameter.mul_(3)
        torch.save(state, path)
    return made


@torch.no_grad()
def predictions(model: Any, task: Any, place: int, copies: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits of one sentence [1, m, V] under teacher forcing, and its target [1, n]."""
    dataset = task.dataset("valid")
    sample = dataset.collater([dataset[place]])
    fed = sample["net_input"]["prev_output_tokens"].repeat_interleave(copies, 1)
    return model(**{**sample["net_input"], "prev_output_tokens": fed})[0], sample["target"]


def lengths(tensor: torch.Tensor) -> torch.Tensor:
    return torch.tensor([tensor.size(1)])


@pytest.mark.parametrize(("method", "criterion"), [("at_axe", None), ("teacher", None), ("at_causal_axe", "axe")])
def test_axe_figures_are_those_of_single_sentences(
    runs: dict[str, Path], tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    method: str, criterion: str | None,
) -> None:  # fmt: skip
    run = copy_run(runs[method], tmp_path / "run")
    flags = ["--criterion", criterion] if criterion else []
    main([str(run), "--threads", "1", "--sentences", "2,1", *flags])
    shown = capsys.readouterr().out
    stem = f"alignments_valid{f'_{criterion}' if criterion else ''}"
    row = read_row(run / "results" / f"{stem}.json")
    model, task = load_run(run, tiny_data, "valid")
    blank = task.target_dictionary.index("<blank>")
    cost = tokens = 0.0
    for place in range(SENTENCES):
        logits, target = predictions(model, task, place)
        arguments = (logits, target, lengths(logits), lengths(target))
        cost += float(axe_loss(*arguments, blank_idx=blank, reduction="sum"))
        tokens += target.size(1)
    assert (row["sentences"], row["targets"], row["slots"]) == (SENTENCES, tokens, tokens)
    assert (row["criterion"], row["skip_target_penalty"]) == ("axe", 1.0)
    assert row["loss"] == pytest.approx(cost / tokens, rel=1e-4)
    assert row["loss_bits"] == pytest.approx(row["loss"] / math.log(2))
    used = {name: found["count"] for name, found in row["operators"].items()}
    assert used["align"] + used["clone prediction"] == tokens == used["align"] + used["delimiter"]
    assert sum(found["count"] for found in row["patterns"]) <= SENTENCES
    examples = json.loads((run / "results" / f"{stem}.examples.json").read_text(encoding="utf-8"))
    assert [example["sentence"] for example in examples] == [2, 1]
    for example in examples:
        logits, target = predictions(model, task, example["sentence"] - 1)
        assert example["target"] == [task.target_dictionary[token] for token in target[0]]
        assert example["inputs"] == ["</s>", *example["target"][:-1]]
        probabilities = logits[0].softmax(-1)
        for slot, top in enumerate(example["predictions"]):
            best = probabilities[slot].topk(4)
            assert [each["token"] for each in top] == [task.target_dictionary[token] for token in best.indices]
            assert [each["probability"] for each in top] == pytest.approx(best.values.tolist(), rel=1e-4)
        targets_of_steps = [operator for operator in example["operators"] if operator != "delimiter"]
        assert len(targets_of_steps) == len(example["alpha"]) == len(example["target"])
        sentence_cost = -sum(math.log(probability) for probability in example["probabilities"])
        expected = axe_loss(logits, target, lengths(logits), lengths(target), blank_idx=blank, reduction="sum")
        assert sentence_cost == pytest.approx(float(expected), rel=1e-3)
        assert f"sentence {example['sentence']}: {' '.join(example['source'])}" in shown
        assert example["pattern"] in shown
    assert row["signature"] in shown
    text = (run / "results" / f"{stem}.examples.txt").read_text(encoding="utf-8")
    assert text.strip() in shown
    drawing = (run / "results" / f"{stem}.examples.svg").read_text(encoding="utf-8")
    assert all(word in drawing for word in ("sentence 1", "sentence 2", examples[0]["target"][0], "predictions"))


def test_ctc_figures_are_those_of_single_sentences(runs: dict[str, Path], tiny_data: Path, tmp_path: Path) -> None:
    run = copy_run(runs["at_ctc_doubled"], tmp_path / "run")
    main([str(run), "--threads", "1", "--no-plot"])
    row = read_row(run / "results" / "alignments_valid.json")
    model, task = load_run(run, tiny_data, "valid")
    blank = task.target_dictionary.index("<blank>")
    cost = tokens = blanks = 0.0
    for place in range(SENTENCES):
        logits, target = predictions(model, task, place, copies=2)
        arguments = (logits, target, lengths(logits), lengths(target))
        assert ctc_fits(target, lengths(logits), lengths(target)).all()
        cost += float(ctc_loss(*arguments, blank_idx=blank, reduction="sum"))
        blanks += int((ctc_best_alignment(*arguments, blank_idx=blank) == blank).sum())
        tokens += target.size(1)
    assert (row["targets"], row["slots"], row["unaligned"]) == (tokens, 2 * tokens, 0)
    assert row["loss"] == pytest.approx(cost / tokens, rel=1e-4)
    assert (row["predictions_per_target"], row["skip_target_penalty"]) == (2, None)
    assert row["operators"]["delimiter"]["count"] == blanks
    assert row["operators"]["align"]["count"] == tokens
    assert row["trivial"] == 0
    assert not list((run / "results").glob("*.svg"))


def test_non_autoregressive_models_are_aligned_by_their_own_loss(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copies = [copy_run(runs[method], tmp_path / method) for method in ("cmlm_axe", "ctc")]
    output = tmp_path / "out" / "both.json"
    main([*map(str, copies), "--threads", "1", "--no-plot", "--output", str(output)])
    axe, ctc = json.loads(output.read_text(encoding="utf-8"))
    assert (axe["criterion"], ctc["criterion"]) == ("nat_axe", "nat_ctc")
    assert axe["own_input"] is None
    assert axe["targets"] == axe["slots"]  # without end of sentence
    assert ctc["sentences"] + ctc["unaligned"] == SENTENCES
    assert ctc["operators"]["clone prediction"]["count"] == 0
    shown = capsys.readouterr().out
    assert "own input" in shown.split("all systems are in")[1]
    examples = json.loads((copies[0] / "results" / "alignments_valid.examples.json").read_text(encoding="utf-8"))
    assert "<mask>" in [token for example in examples for token in example["inputs"]]
    with open(output.with_suffix(".tsv"), encoding="utf-8", newline="") as handle:
        lines = list(csv.DictReader(handle, delimiter="\t"))
    shares = {line["name"]: float(line["value"]) for line in lines if line["measure"] == "operator"}
    assert shares.keys() == {"align", "clone target", "clone prediction", "delimiter"}
    assert {line["system"] for line in lines} == {axe["system"], ctc["system"]}


def test_batches_change_nothing(runs: dict[str, Path], tmp_path: Path) -> None:
    rows = []
    for name, tokens in (("large", "4096"), ("small", "12")):
        run = copy_run(runs["at_axe"], tmp_path / name)
        main([str(run), "--threads", "1", "--no-plot", "--max-tokens", tokens, "--sentences", ""])
        rows.append(read_row(run / "results" / "alignments_valid.json"))
        assert not (run / "results" / "alignments_valid.examples.json").exists()
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], rel=1e-5)
    assert rows[0]["patterns"] == rows[1]["patterns"]


def test_refuses_in_one_sentence(runs: dict[str, Path], tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('[{"system": "a", "bleu": 1}]', encoding="utf-8")
    refusals = {
        "--criterion nat_axe trains non-autoregressive models": ["--criterion", "nat_axe"],
        "--criterion cross_entropy aligns nothing: choose axe": ["--criterion", "cross_entropy"],
        "--criterion ctc_ar has none": ["--criterion", "ctc_ar", "--skip-target-penalty", "2"],
        "--skip-target-penalty must be 0 or more": ["--skip-target-penalty", "-1"],
        "there is no sentence 13 in split 'valid', which has 12": ["--sentences", "1,13"],
        "--sentences a is no list of numbers": ["--sentences", "a"],
        "holds results of another script": ["--output", str(other)],
        r"--output all\.txt must end in \.json": ["--output", "all.txt"],
        "--max-tokens must be at least 1": ["--max-tokens", "0"],
        "--name names one system": [str(runs["teacher"]), "--name", "a"],
        "there is no checkpoint 'x.pt'": ["--checkpoint", "x.pt"],
    }
    for sentence, words in refusals.items():
        with pytest.raises(UserError, match=sentence):
            main([str(runs["at_axe"]), *words, "--no-plot"])
    for method, criterion, sentence in (
        ("cmlm_axe", "causal_axe", "use --criterion nat_axe for a non-autoregressive one"),
        ("cmlm_axe", "nat_oaxe", "--criterion nat_oaxe has no monotonic alignment"),
        ("ctc", "nat_axe", "use --criterion nat_ctc"),
    ):
        with pytest.raises(UserError, match=sentence):
            main([str(runs[method]), "--criterion", criterion, "--no-plot"])
