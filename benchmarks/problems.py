"""The problems that are measured: random logits and targets of a stated shape, all sentences of full length."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nat_plugin.errors import UserError
from scripts.lib.measuring.memory import available

PAD, BLANK = 1, 4
_FIRST_WORD = 5
# what cross entropy as fairseq has it holds at its peak: the logits, and three tensors of their size
_TENSORS_AT_PEAK = 4


@dataclass(frozen=True)
class Shape:
    """B sentences of n targets and m slots each, over V words."""

    batch: int
    targets: int
    slots: int
    vocabulary: int

    def logits_bytes(self, dtype: torch.dtype = torch.float32) -> int:
        """Size of the logits."""
        return self.batch * self.slots * self.vocabulary * dtype.itemsize

    def for_ctc(self) -> Shape:
        """The same sentences on a canvas of three slots a target."""
        return replace(self, slots=3 * self.targets)

    def __str__(self) -> str:
        return f"({self.batch}, {self.targets}, {self.slots})"


@dataclass(frozen=True)
class Problem:
    """Tensors of one measurement.

    Attributes:
        shape: theirs.
        logits: [B, m, V], a leaf that asks for its gradient.
        targets: [B, n] int64, words only.
        slot_targets: [B, m] int64, a word for every slot, for cross entropy.
        logit_lengths: [B], all m.
        target_lengths: [B], all n.
    """

    shape: Shape
    logits: Tensor
    targets: Tensor
    slot_targets: Tensor
    logit_lengths: Tensor
    target_lengths: Tensor


def parse_shape(text: str, vocabulary: int) -> Shape:
    """``B,n,m`` as a user types it.

    Raises:
        UserError: it is something else, or a number is too small.
    """
    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise UserError(
            f"--shapes {text!r} is not B,n,m: give three whole numbers above 0, sentences, targets and slots, such as "
            "32,30,30."
        )
    if vocabulary <= _FIRST_WORD:
        raise UserError(f"--vocabularies {vocabulary} is too small: the first {_FIRST_WORD} ids are special symbols.")
    batch, targets, slots = map(int, parts)
    return Shape(batch, targets, slots, vocabulary)


def make_problem(shape: Shape, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 1) -> Problem:
    """Logits from N(0, 1) and uniformly drawn words.

    Raises:
        UserError: there is not enough memory for it and for cross entropy on it.
    """
    check_memory(shape, device, dtype)
    generator = torch.Generator(device).manual_seed(seed)

    def words(width: int) -> Tensor:
        return torch.randint(_FIRST_WORD, shape.vocabulary, (shape.batch, width), device=device, generator=generator)

    logits = torch.empty(shape.batch, shape.slots, shape.vocabulary, device=device, dtype=dtype)
    logits.normal_(generator=generator)
    return Problem(
        shape=shape,
        logits=logits.requires_grad_(),
        targets=words(shape.targets),
        slot_targets=words(shape.slots),
        logit_lengths=torch.full((shape.batch,), shape.slots, device=device),
        target_lengths=torch.full((shape.batch,), shape.targets, device=device),
    )


def check_memory(shape: Shape, device: str, dtype: torch.dtype) -> None:
    """Refuse what would run out of memory in the middle.

    Raises:
        UserError: less is free than cross entropy needs on these logits.
    """
    needed = _TENSORS_AT_PEAK * shape.logits_bytes(dtype)
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else available()
    if free is not None and needed > free:
        raise UserError(
            f"logits of {shape.batch} x {shape.slots} x {shape.vocabulary} need {needed / 2**30:.1f} GiB with cross "
            f"entropy, and {free / 2**30:.1f} GiB are free: name smaller --shapes or --vocabularies."
        )
