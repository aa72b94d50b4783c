"""The losses that are measured, each as a function of a problem, and the cross entropy that they are held against."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Optional

import torch
from fairseq import utils
from fairseq.criterions.label_smoothed_cross_entropy import label_smoothed_nll_loss
from torch import Tensor

from benchmarks.problems import BLANK, PAD, Problem, Shape
from nat_plugin.alignments import axe_loss, causal_axe_loss, ctc_loss, label_smoothed_cross_entropy, oaxe_loss

LABEL_SMOOTHING = 0.1


class Loss(NamedTuple):
    """A loss under test.

    Attributes:
        title: its name in tables.
        of: the loss of a problem, summed over sentences, by a backend.
        ours: whether it has backends; else it is somebody else's, for comparison.
        on_ctc_canvas: whether its canvas has three slots a target.
        needs_square: whether it needs m = n.
    """

    title: str
    of: Callable[[Problem, Optional[str]], Tensor]
    ours: bool = True
    on_ctc_canvas: bool = False
    needs_square: bool = False

    def shape(self, shape: Shape) -> Optional[Shape]:
        """The shape that it is measured on, given one from the command line; None where it cannot be."""
        if self.on_ctc_canvas:
            return shape.for_ctc()
        return None if self.needs_square and shape.targets != shape.slots else shape


def fairseq_cross_entropy(problem: Problem) -> Tensor:
    """fairseq's label-smoothed cross entropy, every slot against a word of its own."""
    lprobs = utils.log_softmax(problem.logits, dim=-1)
    loss, _ = label_smoothed_nll_loss(
        lprobs.view(-1, lprobs.size(-1)), problem.slot_targets.view(-1), LABEL_SMOOTHING, ignore_index=PAD
    )
    return loss


def _axe(problem: Problem, backend: Optional[str]) -> Tensor:
    return axe_loss(
        *(problem.logits, problem.targets, problem.logit_lengths, problem.target_lengths),
        blank_idx=BLANK,
        label_smoothing=LABEL_SMOOTHING,
        reduction="sum",
        backend=backend,
    )


def _causal_axe(problem: Problem, backend: Optional[str]) -> Tensor:
    return causal_axe_loss(
        *(problem.logits, problem.targets, problem.logit_lengths, problem.target_lengths),
        blank_idx=BLANK,
        label_smoothing=LABEL_SMOOTHING,
        reduction="sum",
        backend=backend,
    )


def _ctc(problem: Problem, backend: Optional[str]) -> Tensor:
    return ctc_loss(
        *(problem.logits, problem.targets, problem.logit_lengths, problem.target_lengths),
        blank_idx=BLANK,
        label_smoothing=LABEL_SMOOTHING,
        reduction="sum",
        backend=backend,
    )


def _oaxe(problem: Problem, backend: Optional[str]) -> Tensor:
    return oaxe_loss(
        *(problem.logits, problem.targets, problem.target_lengths),
        label_smoothing=LABEL_SMOOTHING,
        reduction="sum",
        backend=backend,
    )


def _cross_entropy(problem: Problem, backend: Optional[str]) -> Tensor:
    return label_smoothed_cross_entropy(
        problem.logits, problem.slot_targets, label_smoothing=LABEL_SMOOTHING, reduction="sum", backend=backend
    )


def _torch_ctc(problem: Problem, backend: Optional[str]) -> Tensor:
    lprobs = torch.nn.functional.log_softmax(problem.logits, dim=-1, dtype=torch.float32)
    cost = torch.nn.functional.ctc_loss(
        lprobs.transpose(0, 1),
        problem.targets,
        problem.logit_lengths,
        problem.target_lengths,
        blank=BLANK,
        reduction="sum",
        zero_infinity=True,
    )
    return (1 - LABEL_SMOOTHING) * cost - LABEL_SMOOTHING * lprobs.mean(-1).sum()


def _fairseq_peer(problem: Problem, backend: Optional[str]) -> Tensor:
    return fairseq_cross_entropy(problem)


LOSSES = {
    "axe": Loss("AXE", _axe),
    "causal_axe": Loss("causal AXE", _causal_axe),
    "ctc": Loss("CTC with label smoothing", _ctc, on_ctc_canvas=True),
    "oaxe": Loss("OaXE", _oaxe, needs_square=True),
    "cross_entropy": Loss("label-smoothed cross entropy, ours", _cross_entropy),
    "torch_ctc": Loss("torch's ctc_loss, label smoothing added", _torch_ctc, ours=False, on_ctc_canvas=True),
    "fairseq_cross_entropy": Loss("label-smoothed cross entropy, fairseq's", _fairseq_peer, ours=False),
}


def forward_and_backward(loss: Callable[[], Tensor], problem: Problem) -> Callable[[], None]:
    """One whole use of a loss: its value, and the gradient with respect to the logits, which is then dropped."""

    def run() -> None:
        torch.autograd.grad(loss(), problem.logits)

    return run


def step(loss: Loss, problem: Problem, backend: Optional[str]) -> Callable[[], None]:
    """:func:`forward_and_backward` of one of :data:`LOSSES`."""
    return forward_and_backward(lambda: loss.of(problem, backend), problem)


def baseline_step(problem: Problem) -> Callable[[], None]:
    """:func:`forward_and_backward` of fairseq's cross entropy."""
    return forward_and_backward(lambda: fairseq_cross_entropy(problem), problem)
