"""One half of another checkpoint in place of fresh weights, and halves that training leaves as they are."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nat_plugin.errors import UserError

logger = logging.getLogger(__name__)

# What is read with a half: the length predictor sees the encoder's states alone, copies fill the decoder's slots.
_MODULES = {"encoder": ("encoder", "length_predictor"), "decoder": ("decoder", "slot_copy")}
# A predictor of lengths learns on, on a frozen encoder too: the encoder may be a teacher's, which has none.
_FROZEN = {"encoder": ("encoder",), "decoder": ("decoder", "slot_copy")}
# Buffers of fairseq's that some of its versions save.
_BUFFERS = ("version", "_float_tensor")


def check_halves(cfg: Any) -> None:
    """What can be known to be wrong about ``--load-…-from`` and ``--freeze-…`` before anything is built.

    Args:
        cfg: our model's options.

    Raises:
        UserError: nothing would be left to train, or a matrix would belong to both halves.
    """
    loaded = [half for half in _MODULES if getattr(cfg, f"load_{half}_from")]
    frozen = [half for half in _MODULES if getattr(cfg, f"freeze_{half}")]
    if len(frozen) > 1:
        raise UserError("--freeze-encoder and --freeze-decoder together leave nothing to train: drop one of them.")
    if cfg.share_embeddings == "all" and (frozen or len(loaded) > 1):
        flags = f"--freeze-{frozen[0]}" if frozen else "--load-encoder-from and --load-decoder-from together"
        raise UserError(
            f"{flags} cannot go with --share-embeddings all, where one matrix belongs to both halves: use "
            "--share-embeddings decoder."
        )


def freeze_halves(model: nn.Module, cfg: Any) -> None:
    """Take the halves that ``--freeze-…`` names out of training: their parameters get no gradient and no update."""
    for half, names in _FROZEN.items():
        if getattr(cfg, f"freeze_{half}"):
            for module in filter(None, (getattr(model, name, None) for name in names)):
                module.requires_grad_(False)


def load_halves(model: nn.Module, cfg: Any, task: Any, restored: str = "") -> None:
    """Read the halves that ``--load-…-from`` names into ``model``.

    Encoder or decoder of the checkpoint may be of any transformer whose parameters have fairseq's names, a teacher's
    too. The length predictor comes with the encoder and SoftCopy's temperature with the decoder, where the file has
    them. A latent variable belongs to neither half, and is fresh.

    Args:
        cfg: the model's options.
        task: has the dictionaries, which are compared with the checkpoint's as far as those can be found.
        restored: the checkpoint of a training that goes on, which holds both halves: then nothing is read, and the
            files need not be there any more.

    Raises:
        UserError: the file is not there or no checkpoint, or sizes, language or dictionary are others.
    """
    for half in _MODULES:
        path = getattr(cfg, f"load_{half}_from")
        if path and restored:
            logger.info("going on from %s: --load-%s-from is not read again", restored, half)
        elif path:
            _load(model, half, path, task)


def _load(model: nn.Module, half: str, path: str, task: Any) -> None:
    from fairseq import checkpoint_utils

    flag = f"--load-{half}-from {path}"
    if not os.path.isfile(path):
        raise UserError(f"{flag}: there is no such file; name a checkpoint of fairseq-train.")
    state = checkpoint_utils.load_checkpoint_to_cpu(path)
    _check_language(flag, half, state, task)
    own, saved = dict(model.named_parameters(remove_duplicate=False)), state["model"]
    wanted = [name for name in own if name.startswith(f"{half}.")]
    foreign = {name for name in saved if name.startswith(f"{half}.") and not name.endswith(_BUFFERS)} - set(wanted)
    missing = [name for name in wanted if name not in saved]
    if missing or foreign:
        where = f"it has no {missing[0]}" if missing else f"there is no place here for its {min(foreign)}"
        raise UserError(f"{flag} does not fit ({where}): give the model the options that it was trained with.")
    extras = [name for name in own if name.startswith(tuple(f"{module}." for module in _MODULES[half][1:]))]
    for name in [*wanted, *(name for name in extras if name in saved)]:
        _copy(flag, name, saved[name], own[name])
    fresh = [name for name in extras if name not in saved]
    if getattr(model, "latent", None) is not None:
        fresh.append("the latent variable")
    logger.info("%s: read %d parameters%s", flag, len(wanted), f"; fresh are {', '.join(fresh)}" if fresh else "")


def _copy(flag: str, name: str, saved: Tensor, own: Tensor) -> None:
    if saved.shape != own.shape:
        raise UserError(
            f"{flag} does not fit ({name} is {list(saved.shape)} in it, but {list(own.shape)} here): give the model "
            "the sizes and the dictionaries that it was trained with."
        )
    with torch.no_grad():
        own.copy_(saved)


def _check_language(flag: str, half: str, state: dict[str, Any], task: Any) -> None:
    """Refuse another language, and other words under the same numbers where the checkpoint's dictionary is at hand."""
    side = {"encoder": "source", "decoder": "target"}[half]
    saved = (state.get("cfg") or {}).get("task") or {}
    language, here = saved.get(f"{side}_lang"), getattr(task.cfg, f"{side}_lang")
    if language is None:
        logger.warning("%s does not say its language: it is taken to be %s", flag, here)
        return
    if language != here:
        raise UserError(f"{flag} has {language} as its {side} language, not {here}: name one of the same language.")
    path = Path(str(saved.get("data", "")).split(os.pathsep)[0]) / f"dict.{language}.txt"
    if not path.is_file():
        logger.warning("%s: its dictionary %s is not there, so only its size is compared", flag, path)
        return
    theirs, ours = task.load_dictionary(str(path)), getattr(task, f"{side}_dictionary")
    pairs = enumerate(zip(theirs.symbols, ours.symbols, strict=False))  # their number is compared with the weights
    differs = next((place for place, (there, here) in pairs if there != here), None)
    if differs is not None:
        raise UserError(
            f"{flag} was trained with another dictionary, {path} (word {differs} is '{theirs[differs]}' there, and "
            f"'{ours[differs]}' here): binarise the data with the same one."
        )
