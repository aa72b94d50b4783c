"""Training one half beside another that is read and frozen, through the real fairseq-train."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.end_to_end.conftest import Corpus, Model
from tests.end_to_end.settings import train
from tests.scripts.tiny_training import assert_same_parameters, parameters

pytestmark = pytest.mark.end_to_end

LAST = "checkpoint_last.pt"


def halves(trained: Path) -> list[object]:
    return ["--share-embeddings", "decoder", "--load-encoder-from", trained, "--freeze-encoder", "--batch-size", 32]


def test_a_frozen_encoder_stays_and_a_resumed_training_does_not_read_it_again(
    made: Corpus, model: Model, tmp_path: Path
) -> None:
    trained = tmp_path / "trained.pt"
    trained.write_bytes(model.checkpoint.read_bytes())
    train(made.data, tmp_path / "whole", *halves(trained), "--max-update", 6).checked()
    train(made.data, tmp_path / "parts", *halves(trained), "--max-update", 3).checked()
    trained.unlink()
    resumed = train(made.data, tmp_path / "parts", *halves(trained), "--max-update", 6).checked()
    assert "--load-encoder-from is not read again" in resumed.output
    assert_same_parameters(tmp_path / "parts" / LAST, tmp_path / "whole" / LAST)
    before, after = parameters(model.checkpoint), parameters(tmp_path / "whole" / LAST)
    assert before.keys() == after.keys()
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder", "length_predictor"}
    refused = train(made.data, tmp_path / "new", *halves(trained), "--max-update", 6).refusal()
    assert refused.startswith(f"--load-encoder-from {trained}: there is no such file")
