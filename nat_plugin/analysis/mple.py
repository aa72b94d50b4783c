"""The measures of maximum proxy-likelihood estimation (Huang et al. 2022, §3 and §4): what they are made of.

A method trains on a proxy input Z and a proxy target T in place of the source X alone and the target Y. What it costs:

    L_NAT = -log P(T | Z, X)                          how hard the proxy target is to predict
    L_input = -log P(Z | X) + log Q(Z | T, X)         how far the proxy input is from what X tells
    L̂_target = -β · mean sentence BLEU(T, Y)          how far the proxy target is from people's translations
    L̂_MPLE = L_NAT + L_input + L̂_target

L_NAT and L_input are in bits a target token here, sentence BLEU goes from 0 to 100. The paper finds L̂_MPLE to go with
BLEU over methods; how closely is Pearson's r.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nat_plugin.decoding.mask_predict import mask_predict
from nat_plugin.padding import length_mask

BETAS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""β over whose range the paper says that r hardly changes (§4.2)."""


@dataclass(frozen=True)
class InputCost:
    """L_input of each sentence in its parts, nats; [B] float64 each.

    Attributes:
        masks: -Σ_i log P(slot i is masked, or is not | X).
        tokens: -Σ log P(t_i | X) of a vanilla NAT, over the revealed slots.
        log_q: log Q(Z | T, X).
    """

    masks: Tensor
    tokens: Tensor
    log_q: Tensor


def input_cost(logits: Tensor, masked: Tensor, lengths: Tensor, vanilla: Tensor, log_q: Tensor) -> InputCost:
    """Eq. 11 for one draw of Z, with §E.6's log P(Z | X).

    Args:
        logits: [B, m], the input predictor's, of "masked".
        masked: [B, m] bool, Z.
        lengths: [B], slots of each sentence.
        vanilla: [B, m], the vanilla NAT's log P(t_i | X), nats.
        log_q: [B], of the rule that drew Z.
    """
    real = length_mask(lengths, masked.size(1))
    signed = torch.where(masked, logits, -logits).to(torch.float64)
    masks = -torch.nn.functional.logsigmoid(signed).masked_fill(~real, 0.0).sum(1)
    tokens = -vanilla.to(torch.float64).masked_fill(~real | masked, 0.0).sum(1)
    return InputCost(masks, tokens, log_q.to(torch.float64))


def target_cost(mean_sentence_bleu: float, beta: float) -> float:
    """L̂_target (Eq. 14)."""
    return -beta * mean_sentence_bleu


def bits_per_token(nats: float, tokens: int) -> float:
    """A sum over sentences as a mean over tokens."""
    return nats / tokens / math.log(2)


def pearson(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Pearson's correlation; None for fewer than three pairs, or where one side does not vary."""
    if len(first) < 3:
        return None
    x, y = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    if scale <= 1e-12 * max(1.0, float(np.abs(x).max() * np.abs(y).max())):
        return None
    return float(np.clip(x @ y / scale, -1, 1))


def correlations_by_beta(
    without_target: Sequence[float], sentence_bleu: Sequence[float], bleu: Sequence[float], betas: Sequence[float]
) -> list[float | None]:
    """r of L̂_MPLE and BLEU over systems, for each β.

    Args:
        without_target: L_NAT + L_input of each system.
        sentence_bleu: the mean sentence BLEU of its proxy targets.
        bleu: of its translations.
    """
    return [
        pearson(
            [rest + target_cost(each, beta) for rest, each in zip(without_target, sentence_bleu, strict=True)], bleu
        )
        for beta in betas
    ]


@dataclass(frozen=True)
class RefinementCosts:
    """What each pass of mask-predict says of the reference.

    Attributes:
        costs: [T, B] float64, nats: -Σ_k log p(y_k), by the distribution that slot k has after the pass: that of the
            pass where the slot was masked, else what it had before.
        masked: [T, B] int64, how many slots the pass predicted.
    """

    costs: Tensor
    masked: Tensor


def refinement_costs(
    decode: Callable[[Tensor], Tensor],
    targets: Tensor,
    lengths: Tensor,
    *,
    mask_idx: int,
    never_predicted: Tensor,
    iterations: int,
) -> RefinementCosts:
    """Decode by mask-predict on canvases of the reference's length, and look the reference up after each pass (Eq. 16).

    Args:
        decode: from slots [B, m] to logits [B, m, V].
        targets: [B, m] int64, the reference.
        lengths: [B].
        mask_idx: the id of ``<mask>``.
        never_predicted: [K] int64, tokens that no slot may say.
        iterations: T.
    """
    real = length_mask(lengths, targets.size(1))
    current = torch.zeros(targets.shape, dtype=torch.float64, device=targets.device)
    costs, counts = [], []

    def predict(slots: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal current
        lprobs = decode(slots).float().log_softmax(-1)
        masked = slots.eq(mask_idx) & real
        of_reference = lprobs.gather(2, targets.unsqueeze(2)).squeeze(2).to(torch.float64)
        current = torch.where(masked, of_reference, current)
        costs.append(-current.sum(1))
        counts.append(masked.sum(1))
        best, tokens = lprobs.index_fill(2, never_predicted, float("-inf")).max(2)
        return tokens, best

    mask_predict(predict, lengths, mask_idx=mask_idx, iterations=iterations)
    return RefinementCosts(torch.stack(costs), torch.stack(counts))
