"""CTC's most probable path with its trace back, one program a sentence; the states are those of :mod:`.ctc`."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["slots", "targets_count"])
def ctc_best_path_kernel(
    lprobs: tl.tensor,
    targets: tl.tensor,
    logit_lengths: tl.tensor,
    target_lengths: tl.tensor,
    ways: tl.tensor,
    found: tl.tensor,
    slots: tl.tensor,
    targets_count: tl.tensor,
    LANES: tl.constexpr,
) -> None:
    """One sentence. ``ways`` [B, m, n+1] bytes is scratch: how the best path comes into each state.

    Into "says target k": 0 from itself, 1 from the blank before it, 2 from the target before it; times 2, plus, into
    "says blank after k targets": 0 from itself, 1 from target k.
    """
    sentence = tl.program_id(0).to(tl.int64)
    dtype = lprobs.dtype.element_ty
    columns = targets_count + 1
    slot_count = tl.load(logit_lengths + sentence).to(tl.int32)
    target_count = tl.load(target_lengths + sentence).to(tl.int32)
    lprobs += sentence * slots * columns
    targets += sentence * targets_count
    ways += sentence * slots * columns
    found += sentence * slots
    lane = tl.arange(0, LANES)
    before = tl.maximum(lane - 1, 0)
    real = (lane >= 1) & (lane <= target_count)
    this_target = tl.load(targets + lane - 1, mask=real, other=-1)
    differs = this_target != tl.load(targets + lane - 2, mask=real & (lane >= 2), other=-1)
    impossible = -float("inf")
    at_target = tl.full([LANES], impossible, dtype)
    at_blank = tl.where(lane == 0, tl.full([LANES], 0.0, dtype), impossible)  # before the first slot
    said = tl.load(lprobs + lane - 1, mask=real, other=impossible)
    said_blank = tl.load(lprobs + targets_count)
    for slot in range(0, slot_count):
        following = slot + 1 < slot_count
        lprobs += columns
        next_said = tl.load(lprobs + lane - 1, mask=real & following, other=impossible)
        next_said_blank = tl.load(lprobs + targets_count, mask=following, other=impossible)
        from_blank = tl.where(lane >= 1, tl.gather(at_blank, before, 0), impossible)
        from_target = tl.where(differs & (lane >= 2), tl.gather(at_target, before, 0), impossible)
        moved = tl.maximum(from_blank, from_target)
        way_to_target = tl.where(at_target >= moved, 0, tl.where(from_blank >= from_target, 1, 2))
        way_to_blank = (at_target > at_blank).to(tl.int32)
        at_blank = said_blank + tl.maximum(at_blank, at_target)
        at_target = said + tl.maximum(at_target, moved)
        tl.store(ways + lane, (2 * way_to_target + way_to_blank).to(tl.int8), mask=lane < columns)
        ways += columns
        said = next_said
        said_blank = next_said_blank

    last = lane == target_count
    end_in_target = tl.max(tl.where(last, at_target, impossible), 0)
    end_in_blank = tl.max(tl.where(last, at_blank, impossible), 0)
    fits = tl.maximum(end_in_target, end_in_blank) > impossible
    path_length = tl.where(fits, slot_count, 0)
    for start in range(0, slots, LANES):
        beyond = (start + lane >= path_length) & (start + lane < slots)
        tl.store(found + start + lane, tl.full([LANES], 0, tl.int64) + targets_count, mask=beyond)
    tl.debug_barrier()  # what other threads have stored is there to be read
    in_target = end_in_target >= end_in_blank
    number = target_count
    for step in range(0, path_length):
        ways -= columns
        tl.store(found + slot_count - 1 - step, tl.where(in_target, number - 1, targets_count).to(tl.int64))
        way = tl.load(ways + number).to(tl.int32)
        way_to_target = way // 2
        number = tl.where(in_target & (way_to_target > 0), number - 1, number)
        in_target = tl.where(in_target, way_to_target != 1, way % 2 == 1)
