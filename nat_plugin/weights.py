"""A model's weights as a safetensors file, in which nothing can be run, and back to what a checkpoint holds.

Beside the tensors such a file carries, as text: fairseq's configuration, the version of the plugin, the names of all
parameters and what each is stored as (a matrix that several parameters share is stored once), the number of updates,
and a digest of each dictionary, because embeddings mean nothing with another one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nat_plugin
from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write
from nat_plugin.symbols import words_digest

if TYPE_CHECKING:
    import torch  # seconds to import

SUFFIX = ".safetensors"
_SIDES = ("source", "target")
_NAMESPACE = "argparse.Namespace"
_OURS = ("cfg", "parameters", "dictionaries", "updates")


def write_weights(state: Mapping[str, Any], path: Path, data: Path) -> None:
    """Write the weights of a checkpoint, whole or not at all.

    Args:
        state: as fairseq's ``load_checkpoint_to_cpu`` returns it.
        path: of the ``.safetensors`` file.
        data: a folder with the dictionaries of the model, ``dict.<language>.txt``.

    Raises:
        UserError: safetensors is not installed, or a dictionary or the languages of the model are missing.
        OSError: the disk is full, or the folder cannot be written.
    """
    _check_installed()
    from safetensors.torch import save

    cfg = _plain_config(state)
    stored, names = _store_once(state["model"])
    metadata = {
        "format": "pt",
        "nat_plugin": nat_plugin.__version__,
        "cfg": json.dumps(cfg, default=_plain),
        "parameters": json.dumps(names),
        "dictionaries": json.dumps(_describe_dictionaries(cfg.get("task") or {}, data)),
        "updates": str((state.get("optimizer_history") or [{}])[-1].get("num_updates", 0)),
    }
    content = save(stored, metadata)
    with atomic_write(path, "wb") as handle:
        handle.write(content)


def _plain_config(state: Mapping[str, Any]) -> dict[str, Any]:
    from omegaconf import OmegaConf

    cfg = state.get("cfg")
    if cfg is None:  # before fairseq had Hydra
        from fairseq.dataclass.utils import convert_namespace_to_omegaconf

        cfg = convert_namespace_to_omegaconf(state["args"])
    if not OmegaConf.is_config(cfg):
        return dict(cfg)
    found: Any = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
    return dict(found)


def _plain(value: Any) -> Any:
    """What JSON does not know: options of models that have no dataclass for them."""
    if isinstance(value, argparse.Namespace):
        return {_NAMESPACE: vars(value)}
    raise UserError(f"the configuration of the checkpoint holds a {type(value).__name__}, which is no text: it stays.")


def _as_it_was(value: dict[str, Any]) -> Any:
    return argparse.Namespace(**value[_NAMESPACE]) if value.keys() == {_NAMESPACE} else value


def _store_once(model: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors to store, and the name of every parameter, in order, with the name that it is stored as.

    Matrices that are equal bit for bit are one: in a checkpoint of a CPU shared parameters share their memory too, in
    one of a GPU, and in an average, they do not.
    """
    import torch

    stored: dict[str, torch.Tensor] = {}
    names: dict[str, str] = {}
    first: dict[tuple[Any, ...], str] = {}
    for name, value in model.items():
        tensor = value.detach().cpu().contiguous()
        names[name] = name
        if tensor.dim() > 1:
            content = hashlib.sha256(tensor.view(torch.uint8).numpy().tobytes()).digest()
            names[name] = first.setdefault((tensor.dtype, tensor.shape, content), name)
        if names[name] == name:
            stored[name] = tensor.clone()  # safetensors wants memory of its own for each
    return stored, names


def _describe_dictionaries(task: Mapping[str, Any], data: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for side in _SIDES:
        language = task.get(f"{side}_lang")
        if not language:
            raise UserError(f"the checkpoint does not name its {side} language: use one of a translation task.")
        words = dictionary_words(data / f"dict.{language}.txt")
        found[side] = {"language": language, "words": len(words), "sha256": words_digest(words)}
    return found


def dictionary_words(path: Path) -> list[str]:
    """The words of a ``dict.<language>.txt``, in order, without fairseq's own symbols and without counts.

    Raises:
        UserError: there is no such file, or it is not UTF-8.
    """
    try:
        return [line.rpartition(" ")[0] for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the dictionary {path} cannot be read ({error}): name the model's data folder.") from error


def read_weights(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A file of :func:`write_weights` as a checkpoint without the state of an optimiser.

    Raises:
        UserError: it is truncated, no safetensors file or none of ours, or safetensors is not installed.
    """
    tensors, metadata = _read(path)
    names: dict[str, str] = metadata["parameters"]
    lacking = sorted(set(names.values()) - tensors.keys())
    foreign = sorted(tensors.keys() - set(names.values()))
    if lacking or foreign:
        what = f"lacks the tensor {lacking[0]}" if lacking else f"holds a tensor {foreign[0]} that no parameter is"
        raise UserError(f"{path} {what}: export the model again with scripts/weights.py.")
    history = {"criterion_name": "", "optimizer_name": "", "lr_scheduler_state": {}, "num_updates": metadata["updates"]}
    return {
        "args": None,
        "cfg": metadata["cfg"],
        "model": {name: tensors[stored] for name, stored in names.items()},
        "optimizer_history": [history],
        "last_optimizer_state": None,
        "task_state": {},
        "extra_state": {"train_iterator": {"epoch": 1, "iterations_in_epoch": 0}},
    }


def check_dictionaries(path: str | os.PathLike[str], data: Path, named: str | None = None) -> None:
    """Make sure that a file of :func:`write_weights` was trained with the dictionaries of a data folder, or with their
    beginning: a teacher may know fewer words, and what the number of rows has to be is seen when weights are loaded.

    Args:
        named: how to call the file in a message.

    Raises:
        UserError: it was not; or as :func:`read_weights`.
    """
    _, metadata = _read(path, tensors=False)
    for side in _SIDES:
        trained = metadata["dictionaries"][side]
        dictionary = data / f"dict.{trained['language']}.txt"
        words = dictionary_words(dictionary)
        if words_digest(words[: trained["words"]]) != trained["sha256"]:
            raise UserError(
                f"{named or path} was trained with another {side} dictionary ({trained['words']} words) than "
                f"{dictionary} ({len(words)} words): use data that were prepared with its own."
            )


def _read(path: str | os.PathLike[str], tensors: bool = True) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    _check_installed()
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            found = {name: file.get_tensor(name) for name in file.keys()} if tensors else {}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} is truncated or no safetensors file ({error}): copy it again, or export it again with "
            "scripts/weights.py."
        ) from error
    if any(key not in metadata for key in _OURS):
        raise UserError(
            f"{path} does not say what model it holds: only files of scripts/weights.py can be read, which carry "
            "fairseq's configuration."
        )
    try:
        return found, {key: json.loads(metadata[key], object_hook=_as_it_was) for key in _OURS}
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): export the model again with scripts/weights.py.") from error


def _check_installed() -> None:
    try:
        import safetensors  # noqa: F401
    except ImportError as error:
        raise UserError(f"{SUFFIX} files need the package safetensors ({error}): pip install safetensors.") from error
