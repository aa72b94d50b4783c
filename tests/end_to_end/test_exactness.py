"""The same training, however it is cut: into micro-batches, among processes, or by an interruption."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch

from tests.end_to_end.conftest import Corpus
from tests.end_to_end.settings import start_training, train
from tests.scripts.tiny_training import assert_same_parameters, parameters

pytestmark = pytest.mark.end_to_end

UPDATES = 6
# In the order of the data, so that four small batches hold the sentences of one large batch. Plain gradient descent:
# Adam divides by the root of a squared gradient, which turns rounding into large steps where gradients are tiny.
CUT = ["--optimizer", "sgd", "--lr", 0.5, "--momentum", 0.9, "--clip-norm", 1, "--curriculum", 9]
CUT += ["--max-tokens", 100000, "--max-update", UPDATES]


def largest_difference(first: Path, second: Path) -> float:
    """Between any two parameters of the last checkpoints in these folders."""
    left, right = (parameters(folder / "checkpoint_last.pt") for folder in (first, second))
    assert left.keys() == right.keys()
    return max(float((value - right[name]).abs().max()) for name, value in left.items())


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


JM_NAT = ["--arch", "jm_nat_tiny", "--criterion", "nat_ngram", "--encoder-loss-factor", 1, "--ngram-loss-factor", 1]


@pytest.mark.parametrize("method", [["--criterion", "nat_cross_entropy"], ["--criterion", "nat_axe"], JM_NAT])
def test_four_micro_batches_are_one_batch(made: Corpus, tmp_path: Path, method: list[object]) -> None:
    flags = [*CUT, *method, "--label-smoothing", 0.1]
    train(made.data, tmp_path / "one", "--batch-size", 32, *flags).checked()
    train(made.data, tmp_path / "four", "--batch-size", 8, "--update-freq", 4, *flags).checked()
    train(made.data, tmp_path / "quarter", "--batch-size", 8, *flags).checked()
    assert largest_difference(tmp_path / "one", tmp_path / "four") < 2e-5
    assert largest_difference(tmp_path / "one", tmp_path / "quarter") > 1e-2


@pytest.mark.parametrize(
    "method",
    [
        ["--criterion", "nat_axe"],
        JM_NAT,
        ["--criterion", "nat_axe", "--share-embeddings", "decoder", "--freeze-encoder"],
        ["--arch", "ctc_vae_glat_tiny", "--latent-layers", 1, "--criterion", "nat_ctc"],
    ],
)
def test_two_processes_are_one(made: Corpus, tmp_path: Path, method: list[object]) -> None:
    flags = [*CUT, *method]
    train(made.data, tmp_path / "one", "--batch-size", 32, *flags).checked()
    where = f"tcp://127.0.0.1:{free_port()}"
    both = ["--distributed-world-size", 2, "--distributed-backend", "gloo", "--ddp-backend", "legacy_ddp"]
    both += ["--distributed-init-method", where, "--distributed-no-spawn", "--device-id", 0]
    running = [
        start_training(made.data, tmp_path / "two", "--batch-size", 16, *flags, *both, "--distributed-rank", rank)
        for rank in range(2)
    ]
    for process in running:
        process.wait().checked()
    assert largest_difference(tmp_path / "one", tmp_path / "two") < 2e-5


def test_a_resumed_training_is_an_uninterrupted_one(made: Corpus, tmp_path: Path) -> None:
    """Nine updates are an epoch: the interruption falls into the second one, the end into the third."""
    flags = ["--dropout", 0.3, "--batch-size", 32, "--lr-scheduler", "inverse_sqrt", "--warmup-updates", 4]
    train(made.data, tmp_path / "whole", *flags, "--max-update", 20).checked()
    train(made.data, tmp_path / "parts", *flags, "--max-update", 11).checked()
    result = train(made.data, tmp_path / "parts", *flags, "--max-update", 20).checked()
    assert "(epoch 2 @ 11 updates)" in result.output
    assert_same_parameters(tmp_path / "whole" / "checkpoint_last.pt", tmp_path / "parts" / "checkpoint_last.pt")
    state = torch.load(tmp_path / "parts" / "checkpoint_last.pt", weights_only=False)
    assert state["optimizer_history"][-1]["num_updates"] == 20
