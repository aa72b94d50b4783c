"""Dynamic KD through fairseq-train: several processes, interruptions, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end import commands, corpus
from tests.end_to_end.conftest import Corpus
from tests.end_to_end.settings import start_training, train
from tests.end_to_end.test_exactness import CUT, free_port, largest_difference
from tests.scripts.tiny_training import assert_same_parameters

pytestmark = pytest.mark.end_to_end

GLAT = ["--arch", "glat_tiny", "--criterion", "nat_cross_entropy", "--candidate-weights", "1,2,.5"]


@pytest.fixture(scope="module")
def candidates(made: Corpus, folder: Path) -> str:
    """Two folders: targets that leave words out, and targets in which words are other ones."""
    numbers = corpus.sentences(corpus.TRAIN, 1)
    others = {
        "shorter": [[word for place, word in enumerate(line) if place % 3 != 1] for line in numbers],
        "other": [
            [(word + 5) % corpus.WORDS if place % 4 == 2 else word for place, word in enumerate(line)]
            for line in numbers
        ],
    }
    for name, targets in others.items():
        text = corpus.write_pair(
            folder / f"text_{name}" / "train", map(corpus.source_line, numbers), map(corpus.target_line, targets)
        )
        commands.run(
            "fairseq-preprocess",
            *("--source-lang", corpus.SOURCE, "--target-lang", corpus.TARGET, "--trainpref", text, "--workers", 1),
            *("--srcdict", made.data / f"dict.{corpus.SOURCE}.txt", "--joined-dictionary"),
            *("--task", "nat_translation", "--destdir", folder / name),
        ).checked()
    return f"{folder / 'shorter'}:{folder / 'other'}"


def test_two_processes_are_one(made: Corpus, candidates: str, tmp_path: Path) -> None:
    flags = [*CUT, *GLAT, "--target-candidates", candidates]
    one = train(made.data, tmp_path / "one", "--batch-size", 32, *flags, "--log-format", "json").checked()
    both = ["--distributed-world-size", 2, "--distributed-backend", "gloo", "--ddp-backend", "legacy_ddp"]
    both += ["--distributed-init-method", f"tcp://127.0.0.1:{free_port()}", "--distributed-no-spawn", "--device-id", 0]
    running = [
        start_training(made.data, tmp_path / "two", "--batch-size", 16, *flags, *both, "--distributed-rank", rank)
        for rank in range(2)
    ]
    for process in running:
        process.wait().checked()
    assert largest_difference(tmp_path / "one", tmp_path / "two") < 2e-5
    logged = [
        json.loads(line[line.index("{") :]) for line in one.output.splitlines() if "chosen_1" in line and "{" in line
    ]
    shares = []
    for entry in logged:
        [start] = {key.removesuffix("chosen_1") for key in entry if key.endswith("chosen_1")}  # perhaps "train_"
        shares.append([float(entry[f"{start}chosen_{number}"]) for number in (1, 2, 3)])
        assert sum(shares[-1]) == pytest.approx(1, abs=1e-3)
    assert any(max(each) < 1 for each in shares)
    assert len(list(made.data.glob("candidate_bleu.*.npy"))) == 1


def test_a_resumed_training_is_an_uninterrupted_one(made: Corpus, candidates: str, tmp_path: Path) -> None:
    flags = [*GLAT, "--dropout", 0.3, "--batch-size", 32, "--target-candidates", candidates]
    train(made.data, tmp_path / "whole", *flags, "--max-update", 14).checked()
    train(made.data, tmp_path / "parts", *flags, "--max-update", 8).checked()
    train(made.data, tmp_path / "parts", *flags, "--max-update", 14).checked()
    assert_same_parameters(tmp_path / "whole" / "checkpoint_last.pt", tmp_path / "parts" / "checkpoint_last.pt")


def test_refuses_in_one_sentence(made: Corpus, candidates: str, tmp_path: Path) -> None:
    flags = [*GLAT, "--target-candidates", f"{candidates}:nowhere", "--candidate-weights", "1,1,1,1", "--max-update", 1]
    assert (
        "--target-candidates nowhere: there is no such folder" in train(made.data, tmp_path / "run", *flags).refusal()
    )
