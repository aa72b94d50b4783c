"""Log-probabilities of a few tokens at every slot, with their gradient in one dense pass over the logits.

Every loss of this package looks at a sentence's canvas through a small window: the slots' log-probabilities of its own
targets and of blank, K of V tokens. So the B·m·V logits are read once, for the normaliser, the window and (for label
smoothing) the mean; what follows is arithmetic on [B, m, K]; and the gradient with respect to the window and the mean,

    Σ_k w_k·(1[v = token_k] - p(v))  +  u·(1/V - p(v)),

is written to the logits' gradient in one more pass. No other tensor of the logits' size is ever made.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nat_plugin.alignments import nan_report
from nat_plugin.alignments.backends import choose_backend
from nat_plugin.alignments.checks import check_lengths


class SlotLogProbs(NamedTuple):
    """Attributes:
    of_tokens: [B, m, K], log p_j(token) in nats, float32 (float64 for float64 logits); 0 beyond the lengths.
    mean: [B, m], the mean over the vocabulary of log p_j(v); 0 beyond the lengths. [B, 0] where it was not asked for.
    """

    of_tokens: Tensor
    mean: Tensor


def slot_log_probs(
    logits: Tensor,
    tokens: Tensor,
    lengths: Tensor,
    *,
    mean: bool = False,
    backend: Optional[str] = None,
    overwrite_logits: bool = False,
) -> SlotLogProbs:
    """The log-probabilities of chosen tokens at every slot, differentiable once with respect to ``logits``.

    Args:
        logits: [B, m, V], any floating dtype; log-probabilities are logits too.
        tokens: int64, [B, K] (the same tokens for every slot) or [B, m, K]; a token may stand in it twice.
        lengths: [B], slots of each sentence; what lies beyond is neither read nor given a gradient.
        mean: also the mean over the vocabulary, which label smoothing needs.
        backend: ``torch``, ``cpp`` or ``triton``; see :func:`nat_plugin.alignments.backends.choose_backend`.
        overwrite_logits: the backward pass writes the gradient into the memory of ``logits`` itself, which saves a
            tensor of their size; nothing else may then use their values after the backward pass.

    Raises:
        ValueError: an unknown backend, or one that cannot work on this device; lengths of another shape or out of
            range.
        FloatingPointError: the logits hold NaN (on a GPU it comes late: :mod:`nat_plugin.alignments.nan_report`).
    """
    check_lengths("lengths", lengths, *logits.shape[:2])
    window, means = _SlotLogProbs.apply(
        logits, tokens, lengths, mean, choose_backend(logits, backend), overwrite_logits
    )
    return SlotLogProbs(window, means)


class _SlotLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, tokens: Tensor, lengths: Tensor, mean: bool, backend: Any, overwrite_logits: bool
    ) -> tuple[Tensor, Tensor]:
        tokens = tokens.unsqueeze(1) if tokens.dim() == 2 else tokens
        lengths = lengths.to(torch.int64)
        normalizers, chosen, means = backend.read_slots(logits, tokens, lengths, mean)
        nan_report.watch(normalizers)
        ctx.save_for_backward(logits, tokens, lengths, normalizers)
        ctx.mean, ctx.backend, ctx.overwrite_logits = mean, backend, overwrite_logits
        ctx.set_materialize_grads(False)
        return chosen, normalizers.new_zeros(logits.size(0), 0) if means is None else means

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_window: Optional[Tensor], grad_mean: Optional[Tensor]
    ) -> tuple[Optional[Tensor], None, None, None, None, None]:
        logits, tokens, lengths, normalizers = ctx.saved_tensors
        if not ctx.mean:
            grad_mean = None
        if grad_window is None and grad_mean is None:
            return None, None, None, None, None, None
        if grad_window is None:
            grad_window = normalizers.new_zeros(*logits.shape[:2], tokens.size(2))
        softmax_weights = grad_window.sum(2)
        if grad_mean is not None:
            softmax_weights = softmax_weights + grad_mean
        gradient = ctx.backend.write_gradient(
            logits,
            normalizers,
            tokens,
            grad_window,
            softmax_weights,
            grad_mean,
            lengths,
            logits.detach() if ctx.overwrite_logits else None,
        )
        if ctx.overwrite_logits:
            # kernels write by address: without this autograd would not see that whoever reads the logits again is wrong
            torch.autograd.graph.increment_version(logits)
        return gradient, None, None, None, None, None
