"""CTC's cost and occupancy in torch: on a GPU by torch's own CTC, on a CPU slot by slot on all sentences and states.

The states of a sentence are ε y_1 ε … y_n ε; a path stays, goes one state on, or two, past the blank between targets
that differ. Let v_j(s) be the log-probability of the best beginning of a path that is in state s at slot j, and

    w_j(s'→s) = exp(v_{j-1}(s') - v_j(s) + log p_j(s)) ≤ 1

what a way into s has of the best way there. With these, the sum over all beginnings is exp(v_j(s)) · r_j(s), that over
all ends is q_j(s) · exp(v - v_j(s)), v being the best path's, and

    r_j(s) = Σ_{s'} w_j(s'→s) · r_{j-1}(s')        q_j(s) = Σ_{s'} w_{j+1}(s→s') · q_{j+1}(s')

r and q count paths, in effect: they are 1 or more on the best path, so that nothing that matters underflows, and a slot
costs three multiplications a state and no logarithm. The exponentials are taken in one call, of logarithms in base 2:
torch.exp goes to MKL, which takes three times as long as torch's own 2^x on processors of AMD.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nat_plugin.padding import length_mask

LOG2_E = math.log2(math.e)

_IMPOSSIBLE = float("-inf")
# in the place of an impossible state's v, which could not be subtracted
_LEAST = -1e30
# r and q grow at most threefold a slot: after so many they are scaled, so that their product has room in float64
_SLOTS_UNTIL_SCALED = 256


def ctc_occupancy(
    lprobs: Tensor, targets: Tensor, logit_lengths: Tensor, target_lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """CTC's cost, and how probable it is that each slot says each symbol of its sentence.

    Args:
        lprobs: [B, m, n+1], log-probabilities of the n targets and, last, of blank.
        targets: [B, n] int64; equal neighbours need a blank between them.
        logit_lengths, target_lengths: [B] int64.

    Returns:
        costs [B], -log p(y | x), inf where the target cannot fit; occupancy [B, m, n+1], the posterior probability that
        a slot says a column's symbol, 0 beyond the lengths and where the cost is infinite. How a symbol that stands in
        the targets twice shares its occupancy between its columns is not specified.
    """
    by = occupancy_by_scan if lprobs.device.type == "cpu" else occupancy_by_torch
    return by(lprobs, targets, logit_lengths, target_lengths)


def occupancy_by_torch(
    lprobs: Tensor, targets: Tensor, logit_lengths: Tensor, target_lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """:func:`ctc_occupancy` by torch's own CTC, one kernel on a GPU, on a CPU one state after the other.

    Its vocabulary is the sentence's n targets (equal ones share a column) and blank.
    """
    batch, m, columns = lprobs.shape
    n = columns - 1
    symbols = (targets.unsqueeze(2) == targets.unsqueeze(1)).to(torch.int8).argmax(2) if n else targets
    in_slots = lprobs.transpose(0, 1)
    if n == 0:  # torch wants a target column even where no sentence has a target
        symbols = targets.new_zeros(batch, 1)
    costs, alphas = torch._ctc_loss(in_slots, symbols, logit_lengths, target_lengths, n, True)
    ones = torch.ones_like(costs)
    # torch's gradient is that of the log-softmax's input: p - occupancy
    gradient = torch.ops.aten._ctc_loss_backward(
        ones, in_slots, symbols, logit_lengths, target_lengths, costs, alphas, n, True
    )
    occupancy = (in_slots.exp() - gradient).transpose(0, 1)
    real = length_mask(logit_lengths, m)
    wanted = real & costs.isfinite().unsqueeze(1)
    possible = wanted.unsqueeze(2) & (lprobs > _IMPOSSIBLE)
    return costs, torch.where(possible, occupancy, 0.0).clamp(min=0.0)


def occupancy_by_scan(
    lprobs: Tensor, targets: Tensor, logit_lengths: Tensor, target_lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """:func:`ctc_occupancy` on a CPU, by the counts r and q above."""
    emitted = _of_states(lprobs).mul_(LOG2_E)
    m, batch, states = emitted.shape
    sentence = torch.arange(batch)
    pass_penalty = emitted.new_full((batch, states), _IMPOSSIBLE)
    pass_penalty[:, 3::2].masked_fill_(targets[:, 1:] != targets[:, :-1], 0.0)
    best = _best(emitted, pass_penalty)
    at_last = torch.where(_end_states(target_lengths, states), best[logit_lengths - 1, sentence, 2:], _IMPOSSIBLE)
    top = at_last.amax(1, keepdim=True)
    at_end = (at_last - top.clamp(min=_LEAST)).double().exp2_()
    weights = _weights(best, emitted, pass_penalty)
    counts, scales = _beginnings(weights, best[0] > _IMPOSSIBLE)
    total = (counts[logit_lengths - 1, sentence, 2:] * at_end).sum(1)
    costs = -(top.squeeze(1).double() / LOG2_E + total.log() + scales[logit_lengths - 1, sentence])
    through = _times_endings(counts, weights, at_end, logit_lengths)
    blanks, of_targets = through[:, :, ::2].sum(2, keepdim=True), through[:, :, 1::2]
    whole = of_targets.sum(2, keepdim=True).add_(blanks)
    real = length_mask(logit_lengths, m) & (total > 0).unsqueeze(1)
    occupancy = torch.empty_like(lprobs)
    in_slots = occupancy.transpose(0, 1)
    torch.div(of_targets, whole, out=in_slots[:, :, :-1])
    torch.div(blanks, whole, out=in_slots[:, :, -1:])
    return costs.to(lprobs.dtype), occupancy.masked_fill_(~real.unsqueeze(2), 0.0)


def _of_states(lprobs: Tensor) -> Tensor:
    """[B, m, n+1], blank last -> [m, B, S]."""
    batch, m, columns = lprobs.shape
    emitted = lprobs.new_empty(m, batch, 2 * columns - 1)
    in_slots = lprobs.transpose(0, 1)
    emitted[:, :, ::2] = in_slots[:, :, -1:]
    emitted[:, :, 1::2] = in_slots[:, :, :-1]
    return emitted


def _end_states(target_lengths: Tensor, states: int) -> Tensor:
    """The last target and the blank after it, or the one state of a sentence without targets: [B, S] bool."""
    state, final = torch.arange(states), 2 * target_lengths.unsqueeze(1)
    return (state <= final) & (state >= final - 1)


def _shifted(padded: Tensor, way: int) -> Tensor:
    """[…, 2 + S] behind two states that do not exist -> […, S]: for each state the one that is ``way`` before it."""
    return padded[..., 2 - way : padded.size(-1) - way]


def _best(emitted: Tensor, pass_penalty: Tensor) -> Tensor:
    """v [m, B, 2 + S], behind two impossible states."""
    m, batch, states = emitted.shape
    best = emitted.new_full((m, batch, 2 + states), _IMPOSSIBLE)
    best[0, :, 2:4] = emitted[0, :, :2]
    same, one, two = (_shifted(best, way).unbind(0) for way in range(3))
    passing = torch.empty_like(pass_penalty)
    for slot, said in enumerate(emitted.unbind(0)[1:]):
        into = same[slot + 1]
        torch.add(two[slot], pass_penalty, out=passing)
        torch.maximum(torch.maximum(same[slot], one[slot], out=into), passing, out=into).add_(said)
    return best


def _weights(best: Tensor, emitted: Tensor, pass_penalty: Tensor) -> list[Tensor]:
    """w into each state by staying, from the one before, and from the last but one: [m, B, S + 2] each, float64.

    0 into the two states at the end, which do not exist. What stands at the first slot, into which there is no way, is
    not looked at.
    """
    m, batch, states = emitted.shape
    # (v_{j-1} - v_j) + log p, in this order: the difference is exact, so v's own rounding is made good by the weight
    reached = _shifted(best[1:], 0).clamp(min=_LEAST)
    weights = []
    for way in range(3):
        share = (_shifted(best[:-1], way) - reached).add_(emitted[1:])
        if way == 2:
            share += pass_penalty
        weight = torch.empty(m, batch, states + 2, dtype=torch.float64)
        weight[1:, :, :states] = share.exp2_()
        weight[:, :, states:] = 0.0
        weights.append(weight)
    return weights


def _beginnings(weights: list[Tensor], possible_first: Tensor) -> tuple[Tensor, Tensor]:
    """r [m, B, 2 + S], and the logarithm of what each slot's must be multiplied by [m, B]."""
    m, batch, padded = weights[0].shape
    counts = torch.empty(m, batch, padded, dtype=torch.float64)
    counts[0], counts[:, :, :2] = possible_first, 0.0
    scales = torch.zeros(m, batch, dtype=torch.float64)
    same, one, two = (_shifted(counts, way).unbind(0) for way in range(3))
    stay, step, skip = (weight[:, :, :-2].unbind(0) for weight in weights)
    for slot in range(1, m):
        before, into = slot - 1, same[slot]
        torch.mul(same[before], stay[slot], out=into)
        into.addcmul_(one[before], step[slot]).addcmul_(two[before], skip[slot])
        if slot % _SLOTS_UNTIL_SCALED == 0:
            largest = into.amax(1).clamp_(min=1.0)
            into.div_(largest.unsqueeze(1))
            scales[slot:] += largest.log_()
    return counts, scales


def _times_endings(counts: Tensor, weights: list[Tensor], at_end: Tensor, logit_lengths: Tensor) -> Tensor:
    """r·q [m, B, S] up to a factor a slot and sentence, in the place of r; q is 0 beyond the lengths."""
    m, batch, padded = counts.shape
    through = _shifted(counts, 0)
    products = through.unbind(0)
    ways = [weight[:, :, way : padded - 2 + way].unbind(0) for way, weight in enumerate(weights)]
    # two buffers in turn; of each a view from its first, second and third state, made once
    buffers = [torch.zeros(batch, padded, dtype=torch.float64) for _ in range(2)]
    views = [[buffer[:, way : padded - 2 + way] for way in range(3)] for buffer in buffers]
    last_slots = logit_lengths - 1
    begins = set(last_slots.tolist())
    for slot in range(m - 1, -1, -1):
        into, after = views[slot % 2][0], views[(slot + 1) % 2]
        if slot + 1 < m:
            stay, step, skip = (way[slot + 1] for way in ways)
            torch.mul(after[0], stay, out=into)
            into.addcmul_(after[1], step).addcmul_(after[2], skip)
        if slot % _SLOTS_UNTIL_SCALED == 0:
            into.div_(into.amax(1, keepdim=True).clamp_(min=1.0))
        if slot in begins:
            into += torch.where((last_slots == slot).unsqueeze(1), at_end, 0.0)
        products[slot].mul_(into)
    return through
