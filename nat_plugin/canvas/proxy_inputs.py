"""How probable a training canvas was: log Q(Z | T, X) of each rule that chooses what is revealed (Huang et al. 2022).

Z, the proxy input, says of each slot whether it is masked or shows its token of the proxy target T. What a rule draws:

- ``uniform``: the number of masked slots, any of 1..n alike, and then which: log Q = -log n - log C(n, l);
- ``fixed_ratio`` and ``glancing``, ``floor``: which slots alone, -log C(n, l): the number follows from n, or from T and
  the first pass;
- the same with ``poisson``: the number too, whose log-probability is added;
- chosen by probability (``p_ref``, ``one_minus_p_ref``): the slots one after the other without replacement, by weight:
  the log-probability of the set, over all orders (:func:`weighted_set_log_probability`).
"""

from __future__ import annotations

import math
from typing import Optional

import torch
from torch import Tensor

from nat_plugin.canvas.glancing import FirstPass, Revealing, floored_counts
from nat_plugin.canvas.masking import LEAST_WEIGHT
from nat_plugin.padding import length_mask

_VALUES_AT_ONCE = 2**23  # double-precision numbers that an integral may hold


def proxy_input_log_probability(
    revealing: Revealing, masked: Tensor, lengths: Tensor, first: Optional[FirstPass], update: int
) -> Tensor:
    """log Q(Z | T, X) of masks that a rule may have drawn.

    Args:
        revealing: the rule; sets of neighbours (``span``) are not covered.
        masked: [B, m] bool, Z: the masked slots.
        lengths: [B], slots of each sentence, at least 1.
        first: what the rule was told, needed where it is by prediction.
        update: what the ratio depends on.

    Returns:
        [B] float64, nats; -inf for masks that the rule never draws.

    Raises:
        ValueError: the rule masks sets of neighbours.
    """
    if revealing.span > 1:
        raise ValueError("the probability of masks that are sets of neighbours is not known here")
    revealed = length_mask(lengths, masked.size(1)) & ~masked
    counts = revealed.sum(1)
    if revealing.masking == "full":
        return _where(counts == 0, torch.zeros_like(counts, dtype=torch.float64))
    possible = counts < lengths  # one slot stays masked
    if revealing.masking == "uniform":
        return _where(possible, -lengths.to(torch.float64).log() - log_choose(lengths, counts))
    expected = revealing.expected_counts(first, lengths, update)
    if revealing.count == "poisson":
        of_count = poisson_log_probability(counts, expected, lengths - 1)
    else:
        drawn = torch.minimum(floored_counts(expected), lengths - 1)
        of_count = _where(counts == drawn, torch.zeros_like(expected))
    weights = revealing.choice_weights(first)
    if weights is None:
        return _where(possible, of_count - log_choose(lengths, counts))
    return _where(possible, of_count + weighted_set_log_probability(revealed, weights, lengths))


def log_choose(n: Tensor, k: Tensor) -> Tensor:
    """log of the number of ways to choose k of n, any shape, float64."""
    n, k = n.to(torch.float64), k.to(torch.float64)
    return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)


def poisson_log_probability(counts: Tensor, means: Tensor, most: Tensor) -> Tensor:
    """log-probability of Poisson variables that count as ``most`` where they are larger.

    Args:
        counts: [B] int64.
        means: [B] float64, 0 or more.
        most: [B] int64, 0 or more.

    Returns:
        [B] float64, nats; -inf above ``most``.
    """
    outcomes = counts.to(torch.float64)
    exactly = torch.xlogy(outcomes, means) - means - torch.lgamma(outcomes + 1)
    at_least = torch.special.gammainc(most.to(torch.float64).clamp(min=1), means).log()  # P(K ≥ k) = P(k, mean)
    at_least = torch.where(most == 0, torch.zeros_like(at_least), at_least)
    return _where(counts <= most, torch.where(counts == most, at_least, exactly))


def weighted_set_log_probability(chosen: Tensor, weights: Tensor, lengths: Tensor) -> Tensor:
    """log-probability that draws without replacement, each by weight, take just the chosen slots, in whichever order.

    Draws by weight are the order of independent exponential clocks with the weights as rates. The set S comes first
    where its last clock is before the first of the others, whose rate is W, the sum of their weights:

        P(S) = ∫ W e^{-Wt} Π_{i∈S} (1 - e^{-w_i t}) dt = ∫_0^1 Π_{i∈S} (1 - u^{w_i/W}) du.

    With W·t = e^x the integrand is smooth, has one peak and dies out on both sides, so that the trapezoidal rule is
    exact but for rounding; in logarithms, whatever the size of the weights. Enumeration would take |S|! orders.

    Args:
        chosen: [B, m] bool, S; not all slots of a sentence.
        weights: [B, m], 0 or more; none counts less than what :func:`nat_plugin.canvas.masking.choose_slots` takes.
        lengths: [B], slots of each sentence.

    Returns:
        [B] float64, nats.
    """
    real = length_mask(lengths, chosen.size(1))
    weights = weights.to(torch.float64).clamp(min=LEAST_WEIGHT)
    others = weights.masked_fill(chosen | ~real, 0).sum(1, keepdim=True)
    ratios = (weights / others.clamp(min=LEAST_WEIGHT)).masked_fill(~(chosen & real), float("inf"))
    most = int((chosen & real).sum(1).max())
    # left of 0 it falls at least as e^x; right of log(|S| + 1), where no peak lies, as the exponential of -e^x
    left, right = -37.0, math.log(3 * (most + 1) + 60)
    step = min(0.1, 0.7 / math.sqrt(most + 1))  # the peak is about 1/√(|S| + 1) wide
    x = torch.arange(left, right, step, dtype=torch.float64, device=chosen.device)
    rows = max(1, _VALUES_AT_ONCE // (len(x) * max(1, chosen.size(1))))
    log_integrals = [_log_integral(part, x, step) for part in ratios.split(rows)]
    return torch.cat(log_integrals).clamp(max=0.0)


def _log_integral(ratios: Tensor, x: Tensor, step: float) -> Tensor:
    """log ∫ e^{x - e^x} Π_i (1 - exp(-ratio_i · e^x)) dx for each row [B, m]; an infinite ratio is no factor."""
    factors = (-torch.expm1(-ratios.unsqueeze(2) * x.exp())).log().sum(1)
    return (factors + x - x.exp()).logsumexp(1) + math.log(step)


def _where(possible: Tensor, log_probabilities: Tensor) -> Tensor:
    return log_probabilities.masked_fill(~possible, float("-inf"))
