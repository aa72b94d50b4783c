"""Weights as safetensors: there and back bit for bit, what is refused, and that no code of a checkpoint is run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import nat_plugin
from nat_plugin.errors import UserError
from scripts import evaluate
from scripts.lib.averaging import load_checkpoint, updates_done, write_average
from scripts.lib.runs import Run
from scripts.lib.trained_model import TrainedModel
from scripts.weights import main
from tests.checkpoints import CreatesFile
from tests.scripts.tiny_training import SOURCE, TARGET, make_data, settings, small_disk, train
from tests.scripts.untrained_runs import make_run

METHODS = ("cmlm_axe", "ctc", "teacher")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data(tmp_path_factory.mktemp("weights") / "data")


@pytest.fixture(scope="module", params=METHODS)
def run(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with an average, in which shared parameters no longer share their memory."""
    made = Run(make_run(data, tmp_path_factory.mktemp("weights") / request.param, request.param))
    write_average([made.last_checkpoint, made.last_checkpoint], made.averaged_checkpoint)
    return made


@pytest.fixture
def weights(run: Run, tmp_path: Path) -> Path:
    main(["export", str(run.folder), "--output", str(tmp_path / "model.safetensors")])
    return tmp_path / "model.safetensors"


@pytest.fixture(scope="module")
def exported(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its weights beside the checkpoint."""
    made = make_run(data, tmp_path_factory.mktemp("weights") / "cmlm", "cmlm_axe")
    main(["export", str(made)])
    return made


@pytest.fixture
def cmlm(exported: Path, tmp_path: Path) -> Path:
    """The weights of one model, for what is the same with all; in a copy of the run, which may be changed."""
    shutil.copytree(exported, tmp_path / "cmlm")
    return tmp_path / "cmlm" / "checkpoints" / "checkpoint_last.safetensors"


def assert_same_model(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert list(first["model"]) == list(second["model"])
    for name, value in first["model"].items():
        assert value.dtype == second["model"][name].dtype, name
        assert torch.equal(value, second["model"][name]), name


def test_there_and_back_is_bit_for_bit(run: Run, weights: Path, tmp_path: Path) -> None:
    main(["import", str(weights), "--output", str(tmp_path / "back.pt")])
    before, after = load_checkpoint(run.averaged_checkpoint), load_checkpoint(tmp_path / "back.pt")
    assert_same_model(before, after)
    assert OmegaConf.to_container(before["cfg"]) == OmegaConf.to_container(after["cfg"])
    assert updates_done(after) == updates_done(before)


def test_shared_matrices_are_stored_once(run: Run, weights: Path) -> None:
    model = load_checkpoint(run.averaged_checkpoint)["model"]
    stored = load_file(weights)
    with safe_open(weights, "pt") as file:
        metadata = file.metadata()
    names = json.loads(metadata["parameters"])
    assert list(names) == list(model)
    assert set(names.values()) == stored.keys()
    shared = {name for name in names if names[name] != name}
    assert {"decoder.embed_tokens.weight"} <= shared
    assert all(torch.equal(stored[names[name]], model[name]) for name in model)
    assert metadata["nat_plugin"] == nat_plugin.__version__


def test_it_stands_for_the_checkpoint(run: Run, weights: Path) -> None:
    """As scripts/evaluate.py, start_from and whatever goes through fairseq's loader see it."""
    assert_same_model(load_checkpoint(run.averaged_checkpoint), load_checkpoint(weights))
    model, original = TrainedModel.load(weights), TrainedModel.load(run.averaged_checkpoint)
    assert (model.task, model.source_lang, model.data) == (original.task, SOURCE, original.data)


def test_other_types_keep_their_bits(cmlm: Path) -> None:
    run = Run(cmlm.parent.parent)
    state = torch.load(run.last_checkpoint)
    state["model"] = {
        name: value.bfloat16() if "fc1" in name else value.half() for name, value in state["model"].items()
    }
    state["model"]["encoder.layers.0.fc1.bias"][0] = float("nan")
    torch.save(state, run.last_checkpoint)
    main(["export", str(run.folder)])
    found = load_checkpoint(run.last_checkpoint.with_suffix(".safetensors"))["model"]
    for name, value in state["model"].items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name].view(torch.int16), value.view(torch.int16)), name


def changed(path: Path, change: Callable[[dict[str, torch.Tensor], dict[str, str]], None]) -> Path:
    """Another file beside ``path``: its tensors and metadata after ``change``."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    change(tensors, metadata)
    save_file(tensors, path.with_name("changed.safetensors"), metadata)
    return path.with_name("changed.safetensors")


def cut(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    tensors["encoder.layers.0.fc1.bias"] = tensors["encoder.layers.0.fc1.bias"][1:].clone()


def drop(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    del tensors["encoder.layers.0.fc1.bias"]


def add(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    tensors["spy"] = torch.zeros(2)


def strip(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    del metadata["cfg"]


def garble(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    metadata["cfg"] = metadata["cfg"][:-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut, r"changed\.safetensors does not fit .*encoder\.layers\.0\.fc1\.bias is \[15\] in it, but \[16\] here"),
        (drop, r"lacks the tensor encoder\.layers\.0\.fc1\.bias: export"),
        (add, "holds a tensor spy that no parameter is"),
        (strip, "does not say what model it holds"),
        (garble, "is damaged"),
    ],
)
def test_files_that_do_not_fit_are_refused(cmlm: Path, change: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        main(["import", str(changed(cmlm, change))])
    assert not (cmlm.parent / "changed.pt").exists()


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.999])
def test_truncated_files_are_refused(cmlm: Path, keep: float) -> None:
    content = cmlm.read_bytes()
    cmlm.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(UserError, match="is truncated or no safetensors file"):
        main(["import", str(cmlm), "--output", str(cmlm.parent / "new.pt")])


def other_words(data: Path, folder: Path) -> Path:
    """The data with the words of one side in another order."""
    shutil.copytree(data, folder)
    path = folder / f"dict.{TARGET}.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([lines[1], lines[0], *lines[2:]]) + "\n", encoding="utf-8")
    return folder


def test_another_dictionary_is_refused_everywhere(cmlm: Path, data: Path, tmp_path: Path) -> None:
    other = other_words(data, tmp_path / "other")
    message = "was trained with another target dictionary"
    with pytest.raises(UserError, match=message):
        main(["import", str(cmlm), "--data", str(other), "--output", str(tmp_path / "new.pt")])
    with pytest.raises(UserError, match=f"start_from={cmlm} {message}"):
        train([*settings(other, tmp_path / "run", "cmlm_axe"), f"start_from={cmlm}"])
    from fairseq import checkpoint_utils, tasks

    cfg = load_checkpoint(cmlm)["cfg"]
    cfg.task.data = str(other)
    with pytest.raises(UserError, match=message):  # as fairseq-generate does it
        checkpoint_utils.load_model_ensemble_and_task([str(cmlm)], task=tasks.setup_task(cfg.task))


def test_names_that_cannot_be_written_are_refused(cmlm: Path, data: Path, tmp_path: Path) -> None:
    run = cmlm.parent.parent
    with pytest.raises(UserError, match=r"end it in \.safetensors"):
        main(["export", str(run), "--output", str(tmp_path / "model.pt")])
    with pytest.raises(UserError, match="exists already"):
        main(["import", str(cmlm)])  # it would take the place of the checkpoint that it was made of
    with pytest.raises(UserError, match=r"does not end in \.safetensors"):
        main(["import", str(cmlm.with_suffix(".pt"))])
    with pytest.raises(UserError, match="a file of weights already"):
        main(["export", str(cmlm)])
    with pytest.raises(UserError, match="no checkpoint 'gone'"):
        main(["export", str(run), "--checkpoint", "gone"])
    with pytest.raises(UserError, match=r"the dictionary .* cannot be read"):
        main(["export", str(run), "--data", str(tmp_path)])
    moved = changed(cmlm, lambda tensors, metadata: metadata.update(cfg=metadata["cfg"].replace(str(data), "/gone")))
    with pytest.raises(UserError, match="name a folder with --data"):
        main(["import", str(moved)])
    main(["import", str(moved), "--data", str(data)])
    assert load_checkpoint(moved.with_suffix(".pt"))["cfg"].task.data == str(data)


def test_a_full_disk_leaves_nothing_half(cmlm: Path, tmp_path: Path) -> None:
    run = cmlm.parent.parent
    with small_disk(tmp_path / "disk", "16k"):
        with pytest.raises(OSError, match="No space left on device"):  # for which every script has a sentence
            main(["export", str(run), "--output", str(tmp_path / "disk" / "new.safetensors")])
        with pytest.raises(UserError, match=r"new\.pt could not be written"):
            main(["import", str(cmlm), "--output", str(tmp_path / "disk" / "new.pt")])
        assert list((tmp_path / "disk").iterdir()) == []


def test_code_in_a_checkpoint_is_not_run(cmlm: Path, data: Path, tmp_path: Path) -> None:
    """Through start_from, evaluation, export and the average; fairseq's commands are tried in tests/end_to_end."""
    run = Run(cmlm.parent.parent)
    mark, evil = tmp_path / "executed", tmp_path / "evil.pt"
    torch.save({**torch.load(run.last_checkpoint), "more": CreatesFile(mark)}, evil)
    for call in (
        lambda: train([*settings(data, tmp_path / "new", "cmlm_axe"), f"start_from={evil}"]),
        lambda: evaluate.main([str(evil)]),
        lambda: main(["export", str(evil)]),
        lambda: main(["export", str(run.folder), "--checkpoint", str(evil)]),
        lambda: write_average([run.last_checkpoint, evil], tmp_path / "averaged.pt"),
    ):
        with pytest.raises(UserError, match=r"evil\.pt was refused by torch's safe loader and nothing in it was exec"):
            call()
    assert not mark.exists()
