"""AXE's whole program and its trace back, one program a sentence (the recursion: :mod:`nat_plugin.alignments.axe`).

The table is filled slot by slot. In the column of slot j, with the targets i in the lanes of a block,

    entry_j(i) = min( A[i-1,j-1] - log p_j(y_i),  A[i,j-1] - log p_j(ε) )         align, skip prediction
    A[i,j]     = min over k ≤ i of entry_j(k) + δ·Σ_{k<l≤i} -log p_j(y_l)         then a chain of skipped targets

and the chain is one associative scan over pairs (sum, minimum): no difference of prefix sums, so no cancellation, and
infinite costs make no NaN. Targets of one slot lie side by side in memory, and the next slot's are loaded while one is
worked on.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["slots", "targets"])
def axe_kernel(
    target_lprobs: tl.tensor,
    blank_lprobs: tl.tensor,
    logit_lengths: tl.tensor,
    target_lengths: tl.tensor,
    entries: tl.tensor,
    positions: tl.tensor,
    aligned: tl.tensor,
    slots: tl.tensor,
    targets: tl.tensor,
    skip_target_penalty: tl.float64,
    CAUSAL: tl.constexpr,
    LANES: tl.constexpr,
) -> None:
    """One sentence. ``CAUSAL`` is one of :class:`.causality.Causality`.

    ``entries`` [B, m, n] is scratch: where the chain that ends in a cell began, and with what. An entry is 2k + 1 for
    *align* at target k (from 1), 2k for *skip prediction* there, and 0 for a chain that comes from before the first
    target.
    """
    sentence = tl.program_id(0).to(tl.int64)
    dtype = target_lprobs.dtype.element_ty
    slot_count = tl.load(logit_lengths + sentence).to(tl.int32)
    target_count = tl.load(target_lengths + sentence).to(tl.int32)
    target_lprobs += sentence * slots * targets  # these three move on from slot to slot
    blank_lprobs += sentence * slots
    entries += sentence * slots * targets
    lane = tl.arange(0, LANES)
    real = lane < target_count
    penalty = tl.full([LANES], skip_target_penalty, dtype)

    cost = _costs(tl.load(target_lprobs + lane, mask=real, other=0.0))
    blank = _costs(tl.load(blank_lprobs))
    none = tl.full((), 0.0, dtype)  # A[0, j]
    column = tl.cumsum(penalty * cost, 0)  # A[i, 0]: skipped before any slot, at the first slot's cost
    for slot in range(0, slot_count):
        following = slot + 1 < slot_count
        target_lprobs += targets
        blank_lprobs += 1
        next_cost = _costs(tl.load(target_lprobs + lane, mask=real & following, other=0.0))
        next_blank = _costs(tl.load(blank_lprobs, mask=following, other=0.0))
        diagonal = tl.gather(column, tl.maximum(lane - 1, 0), 0)
        align = tl.where(lane == 0, none, diagonal) + cost
        stay = column + blank
        none += blank
        by_align = align <= stay
        skip = penalty * cost
        if CAUSAL:
            by_align = by_align & (lane >= slot)
        if CAUSAL == 2:
            skip = tl.where(lane >= slot, skip, float("inf"))
        best = tl.where(by_align, align, stay)
        entry = 2 * (lane + 1) + by_align.to(tl.int32)
        from_none = (lane == 0) & (none + skip < best)
        best = tl.where(from_none, none + skip, best)
        entry = tl.where(from_none, 0, entry)
        _, column, entry = tl.associative_scan((skip, best, entry), 0, _chain)
        tl.store(entries + lane, entry.to(entries.dtype.element_ty), mask=real)
        entries += targets
        cost = next_cost
        blank = next_blank

    tl.debug_barrier()  # what other threads have stored is there to be read
    slot_of = tl.full([LANES], 0, tl.int32)
    is_aligned = lane < 0
    left = target_count
    for step in range(0, slot_count):
        entries -= targets
        entry = tl.load(entries + left - 1, mask=left > 0, other=0).to(tl.int32)
        first = entry // 2
        by_align = entry % 2
        slot_of = tl.where((lane >= first - by_align) & (lane < left), slot_count - 1 - step, slot_of)
        is_aligned = is_aligned | ((lane == first - 1) & (by_align == 1))
        left = first - by_align
    tl.store(positions + sentence * targets + lane, slot_of.to(tl.int64), mask=lane < targets)
    tl.store(aligned + sentence * targets + lane, is_aligned, mask=lane < targets)


@triton.jit
def _costs(lprobs: tl.tensor) -> tl.tensor:
    """-log p, with a finite stand-in for infinity: no path of finite cost costs as much."""
    return tl.where(lprobs > -1e30, -lprobs, 1e30)


@triton.jit
def _chain(
    left_sum: tl.tensor,
    left_best: tl.tensor,
    left_entry: tl.tensor,
    right_sum: tl.tensor,
    right_best: tl.tensor,
    right_entry: tl.tensor,
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """Two neighbouring stretches as one: its cost to pass, the cheapest way to its end, and where that way entered."""
    passed = left_best + right_sum
    cheaper = passed < right_best
    return (
        left_sum + right_sum,
        tl.where(cheaper, passed, right_best),
        tl.where(cheaper, left_entry, right_entry),
    )
