"""scripts/analyse_confidence.py: figures against sentences one by one, what is written, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from nat_plugin.errors import UserError
from scripts.analyse_confidence import main
from tests.scripts import tiny_training
from tests.scripts.untrained_runs import copy_run, load_run, make_run, read_row

SENTENCES = tiny_training.SIZES["test"]


@pytest.fixture(scope="module")
def runs(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Untrained models whose slots say different things."""
    folder = tmp_path_factory.mktemp("confidence")
    made = {method: make_run(tiny_data, folder / method, method, init="xavier") for method in ("cmlm_ce", "ctc")}
    (made["cmlm_ce"] / "tuned.json").write_text('{"length_multiplier": 1.5}', encoding="utf-8")
    return made


@torch.no_grad()
@pytest.mark.parametrize("method", ["cmlm_ce", "ctc"])
def test_the_figures_are_those_of_single_sentences(
    runs: dict[str, Path], tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    run = copy_run(runs[method], tmp_path / "run")
    main([str(run), "--buckets", "4", "7", "--max-tokens", "30", "--threads", "1"])
    shown = capsys.readouterr().out
    row = read_row(run / "results" / "confidence_test.json")
    model, task = load_run(run, tiny_data, "test")
    dictionary = task.target_dictionary
    near: dict[tuple[str, int], list[float]] = {}
    sizes: dict[str, int] = {}
    for source, target in zip(task.dataset("test").src, task.dataset("test").tgt, strict=True):
        encoder_out = model.encode(source[None].long(), torch.tensor([len(source)]))
        if method == "ctc":
            length = int(model.upsampled_lengths(encoder_out))
        else:
            length = int(int(model.candidate_lengths(encoder_out, 1)) * 1.5 + 0.5)
        logits = model.decode_canvas(torch.full((1, length), task.mask_idx), torch.tensor([length]), encoder_out)[0]
        probabilities = logits.softmax(1)
        logits[:, [dictionary.bos(), dictionary.pad(), dictionary.eos(), task.mask_idx]] = float("-inf")
        words = len(target) - 1
        bucket = "1–3" if words < 4 else "4–6" if words < 7 else "7 and more"
        sizes[bucket] = sizes.get(bucket, 0) + 1
        for slot, token in enumerate(logits.argmax(1).tolist()):
            for other in range(max(0, slot - 3), min(length, slot + 4)):
                if token != task.blank_idx:
                    near.setdefault((bucket, other - slot), []).append(float(probabilities[other, token]))
    assert {bucket["bucket"]: bucket["sentences"] for bucket in row["buckets"]} == sizes
    assert len(sizes) == 3
    for bucket in row["buckets"]:
        for point in bucket["distances"]:
            expected = near.get((bucket["bucket"], point["distance"]), [])
            assert point["pairs"] == len(expected)
            if expected:
                assert point["probability"] == pytest.approx(sum(expected) / len(expected), rel=1e-3)
    assert row["sentences"] == SENTENCES
    assert ("λ:1.5|" in row["signature"]) == (method == "cmlm_ce")
    assert row["signature"] in shown
    assert row["command"].startswith(f"scripts/analyse_confidence.py {run}")


def test_several_systems_have_one_table_and_one_plot(runs: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / "out" / "both.json"
    folders = [str(copy_run(run, tmp_path / method)) for method, run in runs.items()]
    main([*folders, "--output", str(output), "--sentences", "5", "--distance", "1", "--places", "2"])
    rows = json.loads(output.read_text(encoding="utf-8"))
    with open(output.with_suffix(".tsv"), encoding="utf-8", newline="") as handle:
        lines = list(csv.DictReader(handle, delimiter="\t"))
    assert len({row["system"] for row in rows}) == 2
    for row in rows:
        assert row["sentences"] == sum(bucket["sentences"] for bucket in row["buckets"]) == 5
        for bucket in row["buckets"]:
            here = [
                line
                for line in lines
                if (line["system"], line["bucket"], line["measure"]) == (row["system"], bucket["bucket"], "probability")
            ]
            expected = [point for point in bucket["distances"] if point["pairs"]]
            assert [int(line["x"]) for line in here] == [point["distance"] for point in expected]
            assert [float(line["value"]) for line in here] == pytest.approx([p["probability"] for p in expected])
    drawing = output.with_suffix(".svg").read_text(encoding="utf-8")
    assert all(row["system"] in drawing for row in rows)
    assert (tmp_path / "ctc" / "results" / "confidence_test_first5.svg").is_file()


def test_refuses_in_one_sentence(runs: dict[str, Path], tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="lengths must rise"):
        main([str(runs["ctc"]), "--buckets", "10", "4"])
    with pytest.raises(UserError, match="--distance must be at least 1, not 0"):
        main([str(runs["ctc"]), "--distance", "0"])
    teacher = make_run(tiny_data, tmp_path / "teacher", "teacher")
    with pytest.raises(UserError, match="has no slots to look at, as this plugin's"):
        main([str(teacher), "--no-plot"])
    other = tmp_path / "other.json"
    other.write_text('[{"system": "a", "bleu": 1}]', encoding="utf-8")
    with pytest.raises(UserError, match="holds results of another script"):
        main([str(runs["ctc"]), "--output", str(other)])
