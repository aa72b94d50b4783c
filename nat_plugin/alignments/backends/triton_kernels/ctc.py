"""CTC's two recursions, and the posterior of what each slot says (the model: :mod:`nat_plugin.alignments.ctc`).

States are kept as two blocks over k = 0..n: "slot j says target k" (none for k = 0) and "slot j says blank, after k
targets". With α the log-probability of all ways into a state, what its slot says included, and β that of all ways on
from it, the posterior of a state is proportional to exp(α + β) at each slot. So it is normalised slot by slot, and any
constant may be taken out of a whole slot's α or β: that is done every few slots, which keeps the numbers small and
their rounding with them. What is impossible has a large negative number, not -inf, so that no difference is NaN.
"""

from __future__ import annotations

import triton
import triton.language as tl

IMPOSSIBLE = tl.constexpr(-1e30)


@triton.jit(do_not_specialize=["sentences", "slots", "targets_count"])
def ctc_lattice_kernel(
    lprobs: tl.tensor,
    targets: tl.tensor,
    logit_lengths: tl.tensor,
    target_lengths: tl.tensor,
    lattice: tl.tensor,
    costs: tl.tensor,
    sentences: tl.tensor,
    slots: tl.tensor,
    targets_count: tl.tensor,
    LANES: tl.constexpr,
) -> None:
    """α (second grid coordinate 0), with the cost, or β (1) of one sentence.

    ``lattice`` is [2, B, m, 2, n+1]: direction, sentence, slot, target or blank, k.
    """
    sentence = tl.program_id(0).to(tl.int64)
    backward = tl.program_id(1)
    columns = targets_count + 1
    slot_count = tl.load(logit_lengths + sentence).to(tl.int32)
    target_count = tl.load(target_lengths + sentence).to(tl.int32)
    lprobs += sentence * slots * columns
    targets += sentence * targets_count
    lattice += (backward * sentences + sentence) * slots * columns * 2
    if backward == 0:
        cost = _forward(lprobs, targets, lattice, slot_count, target_count, columns, costs.dtype.element_ty, LANES)
        tl.store(costs + sentence, cost)
    else:
        _backward(lprobs, targets, lattice, slot_count, target_count, columns, costs.dtype.element_ty, LANES)


@triton.jit
def _forward(
    lprobs: tl.tensor,
    targets: tl.tensor,
    lattice: tl.tensor,
    slot_count: tl.tensor,
    target_count: tl.tensor,
    columns: tl.tensor,
    dtype: tl.constexpr,
    LANES: tl.constexpr,
) -> tl.tensor:
    """α of every slot into ``lattice``; returns the cost."""
    lane = tl.arange(0, LANES)
    before = tl.maximum(lane - 1, 0)
    real = (lane >= 1) & (lane <= target_count)
    # the target before may be followed without a blank between if it is another one
    differs = _target(targets, lane, target_count) != _target(targets, lane - 1, target_count)
    at_target = tl.full([LANES], IMPOSSIBLE, dtype)
    at_blank = tl.where(lane == 0, tl.full([LANES], 0.0, dtype), IMPOSSIBLE)  # before the first slot
    taken_out = tl.full((), 0.0, dtype)
    said = _possible(tl.load(lprobs + lane - 1, mask=real, other=IMPOSSIBLE))
    said_blank = _possible(tl.load(lprobs + columns - 1))
    for slot in range(0, slot_count):
        following = slot + 1 < slot_count
        lprobs += columns
        next_said = _possible(tl.load(lprobs + lane - 1, mask=real & following, other=IMPOSSIBLE))
        next_said_blank = _possible(tl.load(lprobs + columns - 1, mask=following, other=IMPOSSIBLE))
        from_blank = tl.where(lane >= 1, tl.gather(at_blank, before, 0), IMPOSSIBLE)
        from_target = tl.where(differs, tl.gather(at_target, before, 0), IMPOSSIBLE)
        blank = said_blank + _either(at_blank, at_target)
        at_target = said + _any_of(at_target, from_blank, from_target)
        at_blank = blank
        if slot % 8 == 7:  # the maximum needs all threads, and every slot would wait for it
            peak = tl.maximum(tl.max(at_target, 0), tl.max(at_blank, 0))
            at_target -= peak
            at_blank -= peak
            taken_out += peak
        tl.store(lattice + lane, at_target, mask=lane < columns)
        tl.store(lattice + columns + lane, at_blank, mask=lane < columns)
        lattice += 2 * columns
        said = next_said
        said_blank = next_said_blank
    total = taken_out + tl.sum(tl.where(lane == target_count, _either(at_target, at_blank), 0.0), 0)
    return tl.where(total < 0.1 * IMPOSSIBLE, float("inf"), -total)


@triton.jit
def _backward(
    lprobs: tl.tensor,
    targets: tl.tensor,
    lattice: tl.tensor,
    slot_count: tl.tensor,
    target_count: tl.tensor,
    columns: tl.tensor,
    dtype: tl.constexpr,
    LANES: tl.constexpr,
) -> None:
    """β of every slot into ``lattice``."""
    lane = tl.arange(0, LANES)
    after = tl.minimum(lane + 1, LANES - 1)
    real = (lane >= 1) & (lane <= target_count)
    differs = _target(targets, lane + 1, target_count) != _target(targets, lane, target_count)
    has_next = lane < target_count
    at_blank = tl.where(lane == target_count, tl.full([LANES], 0.0, dtype), IMPOSSIBLE)
    at_target = at_blank
    lprobs += (slot_count - 1).to(tl.int64) * columns
    lattice += (slot_count - 1).to(tl.int64) * columns * 2
    said = _possible(tl.load(lprobs + lane - 1, mask=real, other=IMPOSSIBLE))
    said_blank = _possible(tl.load(lprobs + columns - 1))
    for step in range(0, slot_count):
        tl.store(lattice + lane, at_target, mask=lane < columns)
        tl.store(lattice + columns + lane, at_blank, mask=lane < columns)
        lattice -= 2 * columns
        following = step + 1 < slot_count
        lprobs -= columns
        next_said = _possible(tl.load(lprobs + lane - 1, mask=real & following, other=IMPOSSIBLE))
        next_said_blank = _possible(tl.load(lprobs + columns - 1, mask=following, other=IMPOSSIBLE))
        same = said + at_target
        blank = said_blank + at_blank
        to_target = tl.where(has_next, tl.gather(same, after, 0), IMPOSSIBLE)
        at_target = _any_of(same, blank, tl.where(differs, to_target, IMPOSSIBLE))
        at_blank = _either(blank, to_target)
        if step % 8 == 7:
            peak = tl.maximum(tl.max(at_target, 0), tl.max(at_blank, 0))
            at_target -= peak
            at_blank -= peak
        said = next_said
        said_blank = next_said_blank


@triton.jit(do_not_specialize=["sentences", "slots", "targets_count"])
def ctc_occupancy_kernel(
    lattice: tl.tensor,
    costs: tl.tensor,
    logit_lengths: tl.tensor,
    occupancy: tl.tensor,
    sentences: tl.tensor,
    slots: tl.tensor,
    targets_count: tl.tensor,
    LANES: tl.constexpr,
) -> None:
    """One slot: the posterior of each target and of blank, from what :func:`ctc_lattice_kernel` has left."""
    row = tl.program_id(0)
    sentence = row // slots
    row = row.to(tl.int64)
    columns = targets_count + 1
    lane = tl.arange(0, LANES)
    real = lane < columns
    occupancy += row * columns
    cost = tl.load(costs + sentence)
    if (row - sentence * slots < tl.load(logit_lengths + sentence)) & (cost != float("inf")):
        forward = lattice + row * columns * 2
        backward = forward + sentences * slots.to(tl.int64) * columns * 2
        at_target = tl.load(forward + lane, mask=real, other=IMPOSSIBLE)
        at_target += tl.load(backward + lane, mask=real, other=IMPOSSIBLE)
        at_blank = tl.load(forward + columns + lane, mask=real, other=IMPOSSIBLE)
        at_blank += tl.load(backward + columns + lane, mask=real, other=IMPOSSIBLE)
        peak = tl.maximum(tl.max(at_target, 0), tl.max(at_blank, 0))
        target_mass = tl.exp(at_target - peak)
        blank_mass = tl.sum(tl.exp(at_blank - peak), 0)
        mass = tl.sum(target_mass, 0) + blank_mass
        tl.store(occupancy + lane - 1, target_mass / mass, mask=real & (lane >= 1))
        tl.store(occupancy + targets_count, blank_mass / mass)
    else:
        tl.store(occupancy + lane, 0.0, mask=real)


@triton.jit
def _target(targets: tl.tensor, number: tl.tensor, target_count: tl.tensor) -> tl.tensor:
    """Target ``number``, counted from 1, of the sentence; -1 where there is none."""
    return tl.load(targets + number - 1, mask=(number >= 1) & (number <= target_count), other=-1)


@triton.jit
def _possible(lprobs: tl.tensor) -> tl.tensor:
    """Log-probabilities with IMPOSSIBLE for -inf; NaN stays NaN, so that it reaches the loss."""
    return tl.where(lprobs < IMPOSSIBLE, IMPOSSIBLE, lprobs)


@triton.jit
def _either(first: tl.tensor, second: tl.tensor) -> tl.tensor:
    """log(e^a + e^b)."""
    peak = tl.maximum(first, second)
    return peak + tl.log(tl.exp(first - peak) + tl.exp(second - peak))


@triton.jit
def _any_of(first: tl.tensor, second: tl.tensor, third: tl.tensor) -> tl.tensor:
    """log(e^a + e^b + e^c)."""
    peak = tl.maximum(tl.maximum(first, second), third)
    return peak + tl.log(tl.exp(first - peak) + tl.exp(second - peak) + tl.exp(third - peak))
