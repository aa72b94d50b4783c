"""Input Sampling through fairseq's own commands: in validation, in generate and in interactive alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.commands import run
from tests.end_to_end.conftest import Corpus, Model
from tests.end_to_end.corpus import SOURCE
from tests.end_to_end.settings import generate, hypotheses, interactive, train, training
from tests.end_to_end.test_translation import bleu, last_validation

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def vanilla(made: Corpus, folder: Path) -> Path:
    """A vanilla NAT trained for a moment."""
    flags = ["--arch", "nat_tiny", "--label-smoothing", 0, "--max-update", 60]
    train(made.data, folder / "vanilla", *flags).checked()
    return folder / "vanilla" / "checkpoint_last.pt"


@pytest.fixture(scope="module")
def predictor(made: Corpus, vanilla: Path, folder: Path) -> Model:
    """A model that predicts its masks, validated by Input Sampling."""
    decoding = f'{{"input_sampling": true, "vanilla_nat": "{vanilla}"}}'
    validation = ["--validate-interval", 1000, "--eval-bleu", "--eval-bleu-remove-bpe", "--eval-bleu-args", decoding]
    flags = ["--input-predictor", "--masking", "fixed_ratio", "--max-update", 60]
    result = run("fairseq-train", *training(made.data, folder / "predictor", *validation, *flags)).checked()
    return Model(folder / "predictor" / "checkpoint_last.pt", result)


def test_validation_generate_and_interactive_sample_alike(made: Corpus, vanilla: Path, predictor: Model) -> None:
    flags = ["--input-sampling", "--vanilla-nat", vanilla]
    valid = ["--gen-subset", "valid", "--remove-bpe", "--scoring", "sacrebleu"]
    found = bleu(generate(made.data, predictor.checkpoint, *valid, *flags).checked().output)
    logged = last_validation(predictor.training.output)
    assert logged["bleu"] == pytest.approx(found, abs=0.011)
    assert 0 < logged["input_accuracy"] <= 1
    generated = hypotheses(generate(made.data, predictor.checkpoint, *flags).checked().output)
    text = (made.text / f"test.{SOURCE}").read_bytes()
    spoken = interactive(made.data, predictor.checkpoint, text, "--buffer-size", 40, "--batch-size", 7, *flags)
    assert hypotheses(spoken.checked().output) == generated
    default = hypotheses(generate(made.data, predictor.checkpoint).checked().output)
    assert default != generated


def test_refuses_what_has_nothing_to_sample(made: Corpus, vanilla: Path, predictor: Model) -> None:
    flags = ["--input-sampling", "--vanilla-nat"]
    assert "--masking fixed_ratio" in generate(made.data, predictor.checkpoint, *flags, predictor.checkpoint).refusal()
    refused = train(made.data, vanilla.parent / "no", "--input-predictor", "--masking", "full", "--max-update", 1)
    assert "--input-predictor has nothing to predict" in refused.refusal()
