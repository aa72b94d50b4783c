"""Averages by hand, the choice of checkpoints, and files that are no checkpoints."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from nat_plugin.errors import UserError
from scripts.lib.averaging import (
    average,
    best_checkpoints,
    last_checkpoints,
    load_checkpoint,
    updates_done,
    write_average,
)


def save(path: Path, updates: int = 7, **parameters: torch.Tensor) -> Path:
    """A checkpoint with what fairseq writes besides the model."""
    state: dict[str, Any] = {
        "model": parameters,
        "cfg": {"task": {"_name": "translation", "data": "x"}},
        "args": None,
        "optimizer_history": [
            {"num_updates": updates, "criterion_name": "X", "optimizer_name": "Y", "lr_scheduler_state": {}}
        ],
        "extra_state": {"train_iterator": {"epoch": 1}},
        "last_optimizer_state": {"step": torch.ones(3)},
    }
    torch.save(state, path)
    return path


def test_the_mean_is_exact_and_keeps_types(tmp_path: Path) -> None:
    # In fp16 itself 2048 + 1 + 1 is 2048: the sum has to be taken in a wider type.
    halves = [torch.tensor([2048.0, 1.0]).half(), torch.tensor([1.0, 2.0]).half(), torch.tensor([1.0, 6.0]).half()]
    paths = [
        save(tmp_path / f"{number}.pt", w=torch.tensor([[1.0 * number, 3.0]]), h=half, n=torch.tensor([number]))
        for number, half in enumerate(halves)
    ]
    model = average(paths)["model"]
    assert torch.equal(model["w"], torch.tensor([[1.0, 3.0]]))
    assert model["h"].dtype == torch.float16
    assert torch.equal(model["h"], torch.tensor([2050 / 3, 3.0]).half())
    assert torch.equal(model["n"], torch.tensor([0]))  # an integer buffer has no mean: the first one's


def test_shared_tensors_are_not_changed_in_place(tmp_path: Path) -> None:
    shared = torch.tensor([1.0, 3.0])
    first = save(tmp_path / "1.pt", a=shared, b=shared)
    second = save(tmp_path / "2.pt", a=shared + 2, b=shared + 4)
    model = average([first, second])["model"]
    assert model["a"].tolist() == [2.0, 4.0]
    assert model["b"].tolist() == [3.0, 5.0]


def test_the_written_average_loads_safely_and_keeps_its_configuration(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{number}.pt", w=torch.tensor([float(number)])) for number in (1, 2)]
    write_average(paths, tmp_path / "averaged.pt")
    state = load_checkpoint(tmp_path / "averaged.pt")
    assert state["model"]["w"].tolist() == [1.5]
    assert OmegaConf.to_container(state["cfg"]) == {"task": {"_name": "translation", "data": "x"}}
    assert state["last_optimizer_state"] is None
    assert updates_done(state) == 7


def test_other_names_or_shapes_are_refused(tmp_path: Path) -> None:
    first = save(tmp_path / "1.pt", w=torch.zeros(2))
    with pytest.raises(UserError, match=r"same parameters.*v"):
        average([first, save(tmp_path / "2.pt", v=torch.zeros(2))])
    with pytest.raises(UserError, match=r"w has shape \(2,\)"):
        average([first, save(tmp_path / "3.pt", w=torch.zeros(3))])
    with pytest.raises(UserError, match="no checkpoint to average"):
        average([])


def test_the_best_are_chosen_by_value(tmp_path: Path) -> None:
    for name in ("best_loss_2.5003", "best_loss_10.1000", "best_loss_2.4991", "best_bleu_9.5000", "best_bleu_31.2004"):
        (tmp_path / f"checkpoint.{name}.pt").touch()
    (tmp_path / "checkpoint_best.pt").touch()
    names = [path.name for path in best_checkpoints(tmp_path, "loss", 2)]
    assert names == ["checkpoint.best_loss_2.4991.pt", "checkpoint.best_loss_2.5003.pt"]
    assert [path.name for path in best_checkpoints(tmp_path, "bleu", 1)] == ["checkpoint.best_bleu_31.2004.pt"]


def test_the_last_are_chosen_by_time(tmp_path: Path) -> None:
    written = {"checkpoint9": 450, "checkpoint10": 500, "checkpoint_10_480": 480, "checkpoint_11_520": 520}
    for name, updates in written.items():
        save(tmp_path / f"{name}.pt", updates)
    last = save(tmp_path / "checkpoint_last.pt", 520)

    def names() -> list[str]:
        return [path.stem for path in last_checkpoints(tmp_path, 3)]

    assert names() == ["checkpoint_11_520", "checkpoint10", "checkpoint_10_480"]
    # a training that ended within an epoch
    save(last, 533)
    assert names() == ["checkpoint_last", "checkpoint_11_520", "checkpoint10"]
    for name in written:
        (tmp_path / f"{name}.pt").unlink()
    assert names() == ["checkpoint_last"]


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "checkpoint_last.pt", w=torch.zeros(1000))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"checkpoint_last\.pt.*truncated"):
        load_checkpoint(path)


class _Payload:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "was_run"
    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"model": _Payload(mark)}))
    torch.save({"model": _Payload(mark)}, tmp_path / "evil_zip.pt")
    for name in ("evil.pt", "evil_zip.pt"):
        with pytest.raises(UserError, match=name):
            average([tmp_path / name])
    assert not mark.exists()
