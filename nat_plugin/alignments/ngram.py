"""The n-gram loss of JM-NAT (Guo et al. 2020, §4.2): bags of n-grams, expected against true.

The loss is K - Σ_g min(C_y(g), C̃(g)) over the n-grams g of the reference. All three are about *windows*, n consecutive
masked slots: C_y(g) counts those where the reference has g, K all of them, and C̃(g) is one of

* ``bag``: Σ_t Π_i p_{t+i}(g_i), how often the model is expected to say g, in whatever windows (Shao et al. 2020);
* ``place``: Σ_t Π_i 1[g_i = y_{t+i}]·p_{t+i}(g_i), Eq. 6 to the letter where its y^m are the reference's masked tokens.
  A window is then paid for its own n-gram alone, nothing is ever clipped, and the loss is Σ_t 1 - Π_i p_{t+i}(y_{t+i}).

Departures from the paper: its C_y(g) counts the whole reference, so that an n-gram which the decoder sees would be paid
for in a window elsewhere; and its K is the number of masked sets, though sets side by side form windows across their
borders too, so that its loss can be negative. Ours never is, and is 0 where every n-gram is predicted with certainty.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

import torch
from torch import Tensor

from nat_plugin.alignments.checks import check_label_smoothing, check_lengths, check_one_slot_a_target, check_slot_mask
from nat_plugin.alignments.cross_entropy import cross_entropy_costs, lengths_up_to_last
from nat_plugin.alignments.reduction import reduce_costs
from nat_plugin.alignments.slot_log_probs import slot_log_probs
from nat_plugin.padding import length_mask

MATCHES = ("bag", "place")


def ngram_loss(
    logits: Tensor,
    targets: Tensor,
    target_lengths: Tensor,
    *,
    n: int = 2,
    masked: Optional[Tensor] = None,
    match: str = "bag",
    reduction: str = "mean",
    backend: Optional[str] = None,
) -> Tensor:
    """K minus the matched n-grams of each sentence; without a unit (a number of n-grams).

    Args:
        logits: [B, m, V], m targets a sentence.
        targets: [B, m] int64; any token in range beyond ``target_lengths``.
        target_lengths: [B].
        n: the order of the n-grams, at least 1.
        masked: [B, m] bool, the slots that the decoder did not see. None counts the n-grams of the whole sentence (the
            bag-of-n-grams loss of Shao et al. 2020, clipped).
        match: ``bag`` or ``place``, what the model says of an n-gram; see above.
        reduction: ``none`` [B], ``sum``, or ``mean`` (over the target tokens of the batch).
        backend: see :func:`nat_plugin.alignments.slot_log_probs`.

    Raises:
        ValueError: n < 1, shapes that do not fit, or an unknown match or reduction.
        FloatingPointError: NaN in the logits.
    """
    check_one_slot_a_target(logits, targets, "the n-gram loss")
    check_lengths("target_lengths", target_lengths, *targets.shape)
    lprobs = slot_log_probs(logits, targets, target_lengths, backend=backend)
    costs = ngram_costs(lprobs.of_tokens, targets, target_lengths, n=n, masked=masked, match=match)
    return reduce_costs(costs, target_lengths, reduction)


class CrossEntropyAndNgramCosts(NamedTuple):
    """Two losses of each sentence, [B] each.

    Attributes:
        cross_entropy: nats.
        ngram: the number of n-grams that are not matched.
    """

    cross_entropy: Tensor
    ngram: Tensor


def cross_entropy_and_ngram_costs(
    logits: Tensor,
    targets: Tensor,
    *,
    n: int,
    mask: Tensor,
    match: str = "bag",
    label_smoothing: float = 0.0,
    backend: Optional[str] = None,
    overwrite_logits: bool = False,
) -> CrossEntropyAndNgramCosts:
    """The two losses over the slots in ``mask``, which share one pass over the logits, and one for their gradient.

    Args:
        logits: [B, m, V].
        targets: [B, m] int64; any token in range beyond the last slot in the mask.
        n: the order of the n-grams, at least 1.
        mask: [B, m] bool; a window is n slots in it side by side.
        match: as in :func:`ngram_loss`.
        label_smoothing: ε of the cross entropy.
        backend, overwrite_logits: see :func:`nat_plugin.alignments.slot_log_probs`.

    Raises:
        ValueError: n < 1, shapes that do not fit, an unknown match, or ε out of range.
        FloatingPointError: NaN in the logits of a slot up to the last one in the mask.
    """
    check_one_slot_a_target(logits, targets, "the n-gram loss")
    check_label_smoothing(label_smoothing)
    check_slot_mask(mask, logits, "mask")
    lengths = lengths_up_to_last(mask)
    lprobs = slot_log_probs(
        logits, targets, lengths, mean=label_smoothing > 0, backend=backend, overwrite_logits=overwrite_logits
    )
    own = lprobs.of_tokens.diagonal(dim1=1, dim2=2)
    return CrossEntropyAndNgramCosts(
        cross_entropy_costs(own, lprobs.mean, mask=mask, label_smoothing=label_smoothing),
        ngram_costs(lprobs.of_tokens, targets, lengths, n=n, masked=mask, match=match),
    )


def ngram_windows(mask: Tensor, n: int) -> Tensor:
    """Where n slots in ``mask`` [B, m] bool stand side by side: [B, m-n+1] bool (none for m < n), by their first."""
    if mask.size(1) < n:
        return mask[:, :0]
    return mask.unfold(1, n, 1).all(2)


def ngram_costs(
    lprobs: Tensor,
    targets: Tensor,
    target_lengths: Tensor,
    *,
    n: int,
    masked: Optional[Tensor] = None,
    match: str = "bag",
) -> Tensor:
    """The loss from log-probabilities that are there already: [B].

    Args:
        lprobs: [B, m, m], log p_j(y_i) of slot j and target i, as :func:`nat_plugin.alignments.slot_log_probs` gives
            them for ``targets``; another loss over the same window then shares its pass over the logits.

    Other arguments and errors as in :func:`ngram_loss`.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}")
    if match not in MATCHES:
        raise ValueError(f"match must be one of {', '.join(MATCHES)}, not {match!r}")
    width = targets.size(1)
    counted = length_mask(target_lengths, width)
    if masked is not None:
        check_slot_mask(masked, lprobs, "masked")
        counted = counted & masked
    if width < n:
        return lprobs[:, :0].sum((1, 2))  # 0, with a gradient
    is_window = ngram_windows(counted, n)
    if match == "place":
        said = lprobs.diagonal(dim1=1, dim2=2).unfold(1, n, 1).sum(2).exp().clamp(max=1)  # above 1 by rounding
        return (1 - said).masked_fill(~is_window, 0.0).sum(1)
    return is_window.sum(1) - _matched_in_bag(lprobs, targets, is_window, n)


def _matched_in_bag(lprobs: Tensor, targets: Tensor, is_window: Tensor, n: int) -> Tensor:
    """Σ_g min(C_y(g), C̃(g)): [B]. An n-gram is told by the first window in which it stands."""
    windows = is_window.size(1)
    probabilities = lprobs.exp()
    same_token = targets.unsqueeze(2) == targets.unsqueeze(1)
    expected = probabilities[:, :windows, :windows]  # [B, t, s]: window t says the n-gram that stands at s
    same = same_token[:, :windows, :windows]
    for place in range(1, n):
        end = place + windows
        expected = expected * probabilities[:, place:end, place:end]
        same = same & same_token[:, place:end, place:end]
    expected_counts = expected.masked_fill(~is_window.unsqueeze(2), 0.0).sum(1)
    same = same & is_window.unsqueeze(1) & is_window.unsqueeze(2)
    true_counts = same.sum(2)
    earlier = torch.ones(windows, windows, dtype=torch.bool, device=targets.device).tril(-1)
    is_first = is_window & ~(same & earlier).any(2)
    matched = torch.minimum(expected_counts, true_counts.to(expected_counts.dtype))
    return matched.masked_fill(~is_first, 0.0).sum(1)
