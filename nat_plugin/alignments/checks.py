"""What every loss asks of its arguments."""

from __future__ import annotations

from torch import Tensor


def check_logits_and_targets(logits: Tensor, targets: Tensor) -> None:
    """Logits [B, m, V] with a slot at least, and targets [B, n].

    Raises:
        ValueError: other shapes.
    """
    if logits.dim() != 3 or targets.dim() != 2 or logits.size(0) != targets.size(0):
        raise ValueError(
            f"logits [B, m, V] and targets [B, n] do not fit: {tuple(logits.shape)} and {tuple(targets.shape)}"
        )
    if logits.size(1) == 0:
        raise ValueError("logits have no slots: each sentence needs at least one")


def check_one_slot_a_target(logits: Tensor, targets: Tensor, what: str) -> None:
    """m = n, which ``what`` needs.

    Raises:
        ValueError: other shapes.
    """
    check_logits_and_targets(logits, targets)
    if logits.size(1) != targets.size(1):
        raise ValueError(f"{what} needs m = n: {logits.size(1)} slots and {targets.size(1)} targets")


def check_slot_mask(mask: Tensor, logits: Tensor, name: str) -> None:
    """A mask [B, m] over the slots of ``logits``.

    Raises:
        ValueError: another shape.
    """
    if mask.shape != logits.shape[:2]:
        raise ValueError(f"{name} must be [B, m] = {tuple(logits.shape[:2])}, not {tuple(mask.shape)}")


def check_label_smoothing(label_smoothing: float) -> None:
    """ε in [0, 1).

    Raises:
        ValueError: outside.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing must be in [0, 1), not {label_smoothing}")
