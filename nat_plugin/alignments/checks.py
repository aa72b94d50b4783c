"""What every loss asks of its arguments."""

from __future__ import annotations

import torch
from torch import Tensor


def check_logits_and_targets(logits: Tensor, targets: Tensor) -> None:
    """Logits [B, m, V], floating, with a slot at least, and targets [B, n], whole numbers.

    Raises:
        ValueError: other shapes or types.
    """
    if not logits.is_floating_point():
        raise ValueError(f"logits must be floating, not {logits.dtype}")
    _check_whole("targets", targets)
    if logits.dim() != 3 or targets.dim() != 2 or logits.size(0) != targets.size(0):
        raise ValueError(
            f"logits [B, m, V] and targets [B, n] do not fit: {tuple(logits.shape)} and {tuple(targets.shape)}"
        )
    if logits.size(1) == 0:
        raise ValueError("logits have no slots: each sentence needs at least one")


def check_canvas_and_targets(logits: Tensor, targets: Tensor, logit_lengths: Tensor, target_lengths: Tensor) -> None:
    """Logits and targets, of sentences with 1..m slots and 0..n targets.

    Raises:
        ValueError: other shapes, types or lengths.
    """
    check_logits_and_targets(logits, targets)
    check_lengths("logit_lengths", logit_lengths, *logits.shape[:2], least=1)
    check_lengths("target_lengths", target_lengths, *targets.shape)


def check_one_slot_a_target(logits: Tensor, targets: Tensor, what: str) -> None:
    """m = n, which ``what`` needs.

    Raises:
        ValueError: other shapes or types.
    """
    check_logits_and_targets(logits, targets)
    if logits.size(1) != targets.size(1):
        raise ValueError(f"{what} needs m = n: {logits.size(1)} slots and {targets.size(1)} targets")


def check_lengths(name: str, lengths: Tensor, batch: int, longest: int, *, least: int = 0) -> None:
    """Lengths [B] of a batch's sentences, each in ``least``..``longest``.

    Values are looked at on a CPU alone: on a GPU the look would wait for its kernels.

    Raises:
        ValueError: another shape or type, or a length out of range, which is named with its sentence.
    """
    if lengths.shape != (batch,):
        raise ValueError(f"{name} must be [B] = ({batch},), not {tuple(lengths.shape)}")
    _check_whole(name, lengths)
    if lengths.device.type != "cpu":
        return
    outside = (lengths < least) | (lengths > longest)
    if bool(outside.any()):
        sentence = int(outside.nonzero()[0])
        raise ValueError(
            f"{name} must be in {least}..{longest}, but that of sentence {sentence} is {int(lengths[sentence])}"
        )


def check_slot_mask(mask: Tensor, logits: Tensor, name: str) -> None:
    """A mask [B, m] bool over the slots of ``logits``.

    Raises:
        ValueError: another shape or type.
    """
    _check_slots(mask, logits, name)
    if mask.dtype != torch.bool:
        raise ValueError(f"{name} must be torch.bool, not {mask.dtype}")


def check_slot_tokens(tokens: Tensor, logits: Tensor, name: str) -> None:
    """A token [B, m] for each slot of ``logits``.

    Raises:
        ValueError: another shape or type.
    """
    _check_slots(tokens, logits, name)
    _check_whole(name, tokens)


def _check_slots(values: Tensor, logits: Tensor, name: str) -> None:
    if values.shape != logits.shape[:2]:
        raise ValueError(f"{name} must be [B, m] = {tuple(logits.shape[:2])}, not {tuple(values.shape)}")


def _check_whole(name: str, values: Tensor) -> None:
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise ValueError(f"{name} must be whole numbers, such as int64, not {values.dtype}")


def check_label_smoothing(label_smoothing: float) -> None:
    """ε in [0, 1).

    Raises:
        ValueError: outside.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing must be in [0, 1), not {label_smoothing}")
