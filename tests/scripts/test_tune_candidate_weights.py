"""Tuning γ: the search against trying everything, and the script on folders and on text files."""

from __future__ import annotations

import csv
import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest
import sacrebleu

from nat_plugin.errors import UserError
from scripts import tune_candidate_weights
from scripts.lib.candidate_weights import Agreement, measure, search
from tests.scripts.tiny_training import TARGET, make_data

SENTENCES = 30


def garbled(lines: list[str], rate: float, seed: int) -> list[str]:
    """The lines with ``rate`` of their words replaced."""
    draw = random.Random(seed)
    made = []
    for line in lines:
        words = (f"x{draw.randrange(5)}" if draw.random() < rate else word for word in line.split())
        made.append(" ".join(words))
    return made


@pytest.fixture(scope="module")
def texts() -> dict[str, list[str]]:
    """References, and candidates made of them: a fair one, a poor one, and a good one."""
    draw = random.Random(1)
    reference = [" ".join(f"w{draw.randrange(9)}" for _ in range(4 + draw.randrange(8))) for _ in range(SENTENCES)]
    other = garbled(reference, 0.1, 2)
    return {
        "fair": garbled(reference, 0.35, 3),
        "poor": garbled(reference, 0.8, 4),
        "good": garbled(reference, 0.15, 5),
        "reference": reference,
        "other": other,
    }


def write(folder: Path, texts: dict[str, list[str]]) -> dict[str, str]:
    paths = {name: folder / f"{name}.txt" for name in texts}
    for name, path in paths.items():
        path.write_text("".join(f"{line}\n" for line in texts[name]), encoding="utf-8")
    return {name: str(path) for name, path in paths.items()}


def mean_bleu(hypothesis: str, references: set[str]) -> float:
    scores = [sacrebleu.sentence_bleu(hypothesis, [line], tokenize="none").score for line in references]
    return float(np.mean(scores))


def test_quality_is_the_mean_sentence_bleu_of_different_references(texts: dict[str, list[str]]) -> None:
    references = [texts["reference"], texts["other"], [*texts["reference"][:9], *texts["fair"][9:]]]
    candidates = [texts["poor"], texts["reference"]]
    for held_out in (False, True):
        found = measure(candidates, references, held_out=held_out)
        rows = []
        for number in range(SENTENCES):
            different = {lines[number] for lines in references} - ({texts["reference"][number]} if held_out else set())
            if different:
                rows.append([mean_bleu(text[number], different) for text in candidates])
        np.testing.assert_allclose(found.quality, rows)
        assert len(found.pairwise) == len(rows)


def test_the_search_finds_what_trying_everything_finds(texts: dict[str, list[str]]) -> None:
    agreement = measure([texts[name] for name in ("fair", "poor", "good")], [texts["other"]], held_out=False)
    grid = [0.0, 0.5, 1.0, 2.0]
    found = search(agreement, grid, restarts=8, seed=1)
    best = 0.0
    for weights in itertools.product(grid, repeat=3):
        chosen = [int(np.argmax(np.array(weights) @ row)) for row in agreement.pairwise]
        best = max(best, float(np.mean([agreement.quality[n, k] for n, k in enumerate(chosen)])))
    assert found.quality == pytest.approx(best)
    assert found.quality > float(agreement.mean_quality(np.ones(3)))
    assert [step["bleu"] for step in found.steps] == sorted(step["bleu"] for step in found.steps)


def test_of_equal_candidates_the_first_is_chosen() -> None:
    pairwise = np.full((2, 3, 3), 50.0)
    pairwise[1, :, 2] = 60
    agreement = Agreement(pairwise, np.zeros((2, 3)), np.ones(2))
    assert agreement.choices(np.ones((4, 3))).tolist() == [[0, 2]] * 4


def test_text_files(texts: dict[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = write(tmp_path, texts)
    output = tmp_path / "weights.json"
    words = ["--candidates", paths["fair"], paths["poor"], paths["good"]]
    words += ["--references", paths["reference"], paths["other"]]
    tune_candidate_weights.main([*words, "--grid", "0:2:0.5", "--output", str(output)])
    result = json.loads(output.read_text(encoding="utf-8"))
    assert result["bleu_best_choice"] >= result["bleu"] >= max(result["bleu_single"])
    assert result["bleu"] >= result["bleu_all_ones"]
    assert sum(result["shares"]) == pytest.approx(1)
    assert result["weights"][2] > result["weights"][1]
    with open(output.with_suffix(".tsv"), encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    assert len(rows) == 15
    of_good = {float(row["weight"]): float(row["bleu"]) for row in rows if row["candidate"] == paths["good"]}
    assert of_good[result["weights"][2]] == pytest.approx(result["bleu"], abs=1e-3)
    printed = capsys.readouterr().out
    assert "chosen with γ = 1" in printed
    assert "--candidate-weights " + ",".join(f"{weight:g}" for weight in result["weights"]) in printed


def test_data_folders(tmp_path: Path) -> None:
    """The raw target is the first reference, and the others are what counts."""
    data = make_data(tmp_path / "data", {"train": 5, "test": 12})
    lines = (data / "tok" / f"test.{TARGET}").read_text(encoding="utf-8").splitlines()
    for kind in ("raw", "tok"):
        for number, rate in ((1, 0.2), (2, 0.0)):  # the second is the first reference again
            text = "".join(f"{line}\n" for line in garbled(lines, rate, number))
            (data / kind / f"test.{TARGET}.{number}").write_text(text, encoding="utf-8")
    folder = tmp_path / "teacher" / "tok"
    folder.mkdir(parents=True)
    (folder / f"test.{TARGET}").write_text("".join(f"{line}\n" for line in garbled(lines, 0.3, 7)), encoding="utf-8")
    output = tmp_path / "weights.json"
    words = ["--data", str(data), "--candidates", str(tmp_path / "teacher"), "--output", str(output)]
    tune_candidate_weights.main(words)
    result = json.loads(output.read_text(encoding="utf-8"))
    assert result["candidates"] == [str(tmp_path / "teacher"), f"{data} (raw)"]
    assert result["mean_references"] == 1
    assert result["bleu_single"][1] < 100
    with pytest.raises(UserError, match=r"split 'train' .* has one reference"):
        tune_candidate_weights.main([*words, "--split", "train"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--candidates", "{fair}", "{good}"], "either --data"),
        (["--candidates", "{fair}", "--references", "{other}"], "leaves nothing to choose"),
        (["--candidates", "{fair}", "{short}", "--references", "{other}"], "short.txt has 3 lines, but the references"),
        (["--candidates", "{fair}", "{good}", "--references", "{other}", "--grid", "1:0:1"], "empty range"),
        (["--candidates", "{fair}", "{good}", "--references", "{other}", "--grid=-1:1:1"], "below 0"),
        (["--candidates", "{fair}", "{good}", "--references", "{other}", "--output", "x.txt"], "must end in .json"),
    ],
)
def test_refuses_in_one_sentence(words: list[str], message: str, texts: dict[str, list[str]], tmp_path: Path) -> None:
    paths = write(tmp_path, {**texts, "short": texts["fair"][:3]})
    with pytest.raises(UserError, match=message):
        tune_candidate_weights.main([word.format(**paths) for word in words])
