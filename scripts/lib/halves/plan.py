"""Which trainings a study needs, as words for scripts/train.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nat_plugin.errors import UserError
from scripts.lib.config import compose_run
from scripts.lib.runs import Run

HALVES = ("encoder", "decoder")
# The basic model of the paper, and its size.
_DEFAULTS = ("method=nat_hard", "size=iwslt_small")
_OURS = {
    "run": "--output DIR",
    "fairseq.save_interval_updates": "--interval",
    "fairseq.keep_interval_updates": "nothing: all are kept",
    **{f"fairseq.load_{half}_from": "--pretrained" for half in HALVES},
    **{f"fairseq.freeze_{half}": "nothing: each half is frozen in turn" for half in HALVES},
}


@dataclass(frozen=True)
class Training:
    """One training of a study."""

    name: str
    run: Run
    words: list[str]
    """For scripts/train.py."""


def with_defaults(words: Sequence[str]) -> list[str]:
    """The user's words for scripts/train.py, and what the paper trains where they do not say.

    Raises:
        UserError: a word is this script's to say.
    """
    for word in words:
        key = word.partition("=")[0].lstrip("+")
        if key in _OURS:
            raise UserError(f"{word} is worked out by this script: use {_OURS[key]}.")
    given = {word.partition("=")[0] for word in words}
    return [*words, *(word for word in _DEFAULTS if word.partition("=")[0] not in given)]


def default_folder(words: Sequence[str]) -> Path:
    """Beside the runs of the same data."""
    config = compose_run(words)
    return Path("runs") / config["data"]["name"] / f"halves_{config['method']['name']}_{config['size']['name']}"


def plan_depth(words: Sequence[str], layers: Sequence[int], folder: Path) -> dict[tuple[int, int], Training]:
    """Table 1: the model as configured, then with ``layers`` more on one side.

    Args:
        words: for scripts/train.py.
        layers: how many more, each number a training a side.
        folder: of the runs.

    Returns:
        The training of each pair of encoder and decoder layers; the model as configured comes first.
    """
    flags = compose_run(words)["fairseq"]
    base = (flags["encoder_layers"], flags["decoder_layers"])
    sizes = [base, *((base[0] + more, base[1]) for more in layers), *((base[0], base[1] + more) for more in layers)]
    trainings = {}
    for encoder, decoder in sizes:
        changes = [f"fairseq.encoder_layers={encoder}", f"fairseq.decoder_layers={decoder}"]
        trainings[encoder, decoder] = _training(words, changes, folder, f"encoder{encoder}_decoder{decoder}")
    return trainings


def plan_whole(words: Sequence[str], folder: Path) -> Training:
    """The model whose halves are taken for Figure 1(a)."""
    return _training(words, _unshared(compose_run(words)), folder, "whole")


def trained_checkpoint(training: Training) -> Path:
    """The checkpoint that a training ends with, as :meth:`Run.chosen_checkpoint` will choose it."""
    averages = compose_run(training.words)["average"]["kind"] != "none"
    return training.run.averaged_checkpoint if averages else training.run.checkpoints / "checkpoint_best.pt"


def plan_convergence(words: Sequence[str], interval: int, pretrained: Path, folder: Path) -> dict[str, Training]:
    """Figure 1(a): a fresh half beside the other one of ``pretrained``, which stays as it is.

    Args:
        interval: updates between two checkpoints.

    Returns:
        The training of each half that is trained.

    Raises:
        UserError: the configuration has no such halves, or ``interval`` gives no point.
    """
    config = compose_run(words)
    most = config["fairseq"].get("max_update")
    if config["fairseq"]["task"] != "nat_translation":
        raise UserError(
            f"method={config['method']['name']} cannot take halves of another checkpoint, only this plugin's "
            "non-autoregressive models can: choose another method, such as nat_hard or nat."
        )
    if most and interval > most:
        raise UserError(f"--interval {interval} is more than the {most} updates of the training: give fewer.")
    shared = [
        *_unshared(config),
        "average.kind=none",
        f"fairseq.save_interval_updates={interval}",
        "fairseq.keep_interval_updates=-1",
    ]
    trainings = {}
    for trained, frozen in zip(HALVES, reversed(HALVES), strict=True):
        other = [f"fairseq.load_{frozen}_from={pretrained}", f"fairseq.freeze_{frozen}=true"]
        trainings[trained] = _training(words, [*shared, *other], folder, f"{trained}_trained")
    return trainings


def _unshared(config: Mapping[str, Any]) -> list[str]:
    """Embeddings that belong to one half each: a frozen half would otherwise freeze a part of the other."""
    return ["fairseq.share_embeddings=decoder"] if config["fairseq"].get("share_embeddings") == "all" else []


def _training(words: Sequence[str], changes: Sequence[str], folder: Path, name: str) -> Training:
    run = Run(folder / name)
    return Training(name, run, [*words, *changes, f"run={run.folder}"])
