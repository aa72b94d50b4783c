"""A model with positional attention and hard copies, decoded by mask-predict that takes neighbours along."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.end_to_end.commands import run
from tests.end_to_end.conftest import Corpus, Model
from tests.end_to_end.corpus import SOURCE, TEST_COUNTS
from tests.end_to_end.settings import generate, interactive, training
from tests.end_to_end.test_translation import best, bleu, last_validation

pytestmark = pytest.mark.end_to_end

UPDATES = 120
DECODING = ["--iterations", 4, "--remask-neighbours", "--length-candidates", 4]


@pytest.fixture(scope="module")
def positional(made: Corpus, folder: Path) -> Model:
    """Trained for a moment, with validation BLEU by that decoding."""
    decoding = '{"iterations": 4, "remask_neighbours": true, "length_candidates": 4}'
    validation = ["--validate-interval", 1000, "--eval-bleu", "--eval-bleu-remove-bpe", "--eval-bleu-args", decoding]
    flags = ["--positional-attention", "--copying", "hard", "--max-update", UPDATES]
    result = run("fairseq-train", *training(made.data, folder / "positional", *validation, *flags)).checked()
    return Model(folder / "positional" / "checkpoint_last.pt", result)


def test_validation_translates_as_generate_does(made: Corpus, positional: Model) -> None:
    flags = ["--gen-subset", "valid", "--remove-bpe", "--scoring", "sacrebleu"]
    found = bleu(generate(made.data, positional.checkpoint, *flags, *DECODING).checked().output)
    assert found == pytest.approx(last_validation(positional.training.output)["bleu"], abs=0.011)
    assert found > 50.0


def test_interactive_translates_as_generate_does_and_otherwise_than_without_neighbours(
    made: Corpus, positional: Model
) -> None:
    generated = best(generate(made.data, positional.checkpoint, *DECODING).checked().output)
    text = (made.text / f"test.{SOURCE}").read_bytes()
    spoken = interactive(made.data, positional.checkpoint, text, "--buffer-size", 40, "--batch-size", 16, *DECODING)
    assert best(spoken.checked().output) == generated
    assert len(generated) == TEST_COUNTS[0]
    without = [word for word in DECODING if word != "--remask-neighbours"]
    assert best(generate(made.data, positional.checkpoint, *without).checked().output) != generated


def test_ten_iterations_stop_when_nothing_changes(made: Corpus, positional: Model) -> None:
    flags = ["--iterations", 10, "--remask-neighbours", "--stop-when-unchanged", "--print-step"]
    output = generate(made.data, positional.checkpoint, *flags).checked().output
    steps = [int(count) for count in re.findall(r"^I-\d+\t(\d+)$", output, re.MULTILINE)]
    assert len(steps) == TEST_COUNTS[0]
    assert 1 < min(steps) < 10
    assert max(steps) <= 10
