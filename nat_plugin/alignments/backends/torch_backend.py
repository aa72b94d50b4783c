"""The backend that needs nothing but torch, and the reference for the others: here each function is specified.

On a CPU the two passes over the logits go through them in pieces that stay in the cache; on a GPU in one piece. The
programs loop over targets (AXE) or slots (CTC's best path), never over sentences.
"""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor

from nat_plugin.alignments.backends.torch_ctc import LOG2_E, ctc_occupancy
from nat_plugin.alignments.causality import Causality
from nat_plugin.padding import length_mask

__all__ = ["axe_paths", "ctc_best_paths", "ctc_occupancy", "gather_logits", "read_slots", "write_gradient"]

DEVICES = ("cpu", "cuda")

# Logits at once on a CPU: 2 MiB of float32, so that all steps on a piece but the first find it in the cache.
_PIECE = 2**19
# Where Σ exp(logit) without subtracting the maximum leaves this range, a normaliser is computed again with the maximum.
_SMALLEST, _LARGEST = 1e-30, 1e30


def accumulation_dtype(logits: Tensor) -> torch.dtype:
    """float64 for float64 logits, float32 for all others."""
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def read_slots(logits: Tensor, tokens: Tensor, lengths: Tensor, mean: bool) -> tuple[Tensor, Tensor, Optional[Tensor]]:
    """Normalisers, the log-probabilities of some tokens, and the mean log-probability of every slot.

    Args:
        logits: [B, m, V], any floating dtype; -inf is fine, NaN makes NaN of its slot's results.
        tokens: [B, 1, K] or [B, m, K] int64.
        lengths: [B] int64; slots beyond are not read, and their results are 0.
        mean: whether the third result is wanted.

    Returns:
        log Σ_v exp(logit) [B, m]; log p(token) [B, m, K]; mean over v of log p(v) [B, m] or None. In float32, or
        float64 for float64 logits.
    """
    width, columns = logits.size(1), tokens.size(2)
    real, dtype = length_mask(lengths, width), accumulation_dtype(logits)
    rows, index = logits.reshape(-1, logits.size(2)), _in_rows(tokens, width)
    normalizers = torch.empty(rows.size(0), dtype=dtype, device=logits.device)
    chosen = torch.empty(rows.size(0), columns, dtype=dtype, device=logits.device)
    means = torch.empty_like(normalizers) if mean else None
    for piece in _pieces(rows):
        part = rows[piece].to(dtype)
        normalizers[piece] = _log_sum_exp(part, real.view(-1)[piece])
        torch.gather(part, 1, index[piece], out=chosen[piece])
        if means is not None:
            torch.mean(part, 1, out=means[piece])
    padding = ~real
    normalizers = normalizers.view(real.shape)
    chosen = chosen.view(*real.shape, columns).sub_(normalizers.unsqueeze(2)).masked_fill_(padding.unsqueeze(2), 0.0)
    if means is not None:
        means = means.view(real.shape).sub_(normalizers).masked_fill_(padding, 0.0)
    return normalizers.masked_fill_(padding, 0.0), chosen, means


def gather_logits(logits: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
    """The logits of some tokens at every slot, [B, m, K], 0 beyond the lengths; arguments as in :func:`read_slots`."""
    chosen = logits.gather(2, tokens.expand(-1, logits.size(1), -1)).to(accumulation_dtype(logits))
    return chosen.masked_fill_(~length_mask(lengths, logits.size(1)).unsqueeze(2), 0.0)


def write_gradient(
    logits: Tensor,
    normalizers: Tensor,
    tokens: Tensor,
    token_weights: Tensor,
    softmax_weights: Tensor,
    uniform_weights: Optional[Tensor],
    lengths: Tensor,
    out: Optional[Tensor] = None,
) -> Tensor:
    """The logits' gradient: Σ_k token_weight_k·1[v = token_k] + uniform_weight/V - softmax_weight·p(v) in each slot.

    Args:
        logits, normalizers, tokens, lengths: as in and from :func:`read_slots`.
        token_weights: [B, m, K]; a token that stands in the list twice gets the sum.
        softmax_weights: [B, m].
        uniform_weights: [B, m] or None for 0.
        out: where to write, [B, m, V] of the logits' dtype; may be ``logits`` itself.

    Returns:
        [B, m, V] of the logits' dtype, 0 beyond the lengths and in slots whose weights are all 0.
    """
    width, vocabulary = logits.shape[1:]
    written = out
    if written is None or not written.is_contiguous():
        written = torch.empty_like(logits, memory_format=torch.contiguous_format)
    dtype = normalizers.dtype
    real = length_mask(lengths, width)
    shift, scale = _shift_and_scale(normalizers, softmax_weights, real)
    uniform = None if uniform_weights is None else (uniform_weights / vocabulary).reshape(-1, 1)
    rows, out_rows = logits.reshape(-1, vocabulary), written.view(-1, vocabulary)
    index = _in_rows(tokens, width)
    weights = token_weights.reshape(index.shape)
    for piece in _pieces(rows):
        # another dtype is computed in full precision and rounded once, with everything added
        part = out_rows[piece] if written.dtype == dtype else rows.new_empty(rows[piece].shape, dtype=dtype)
        torch.add(shift[piece], rows[piece], alpha=LOG2_E, out=part).exp2_()  # faster than exp: torch_ctc.py says why
        if scale is not None:
            part.mul_(scale[piece])
        if uniform is not None:
            part.add_(uniform[piece])
        part.scatter_add_(1, index[piece], weights[piece])
        if part.dtype != written.dtype:
            out_rows[piece] = part
    _zero_dead_slots_(written, real, token_weights, softmax_weights, uniform_weights)
    return written if out is None or out is written else out.copy_(written)


def axe_paths(
    target_lprobs: Tensor,
    blank_lprobs: Tensor,
    logit_lengths: Tensor,
    target_lengths: Tensor,
    skip_target_penalty: float,
    causal: Causality,
) -> tuple[Tensor, Tensor]:
    """The cheapest path of AXE's recursion for each sentence (see :mod:`nat_plugin.alignments.axe`).

    A row of the table, one target over all slots, is two candidates a slot (align, skip target) and a chain of skipped
    predictions, which is a running minimum once the prefix sums of the blanks' costs are subtracted:
    A[i,j] = P[j] + min over k ≤ j of (E[i,k] - P[k]). So there are n steps, and the trace back takes n more.

    Args:
        target_lprobs: [B, m, n], log p_j(y_i); may be -inf.
        blank_lprobs: [B, m].
        logit_lengths, target_lengths: [B] int64.
        skip_target_penalty: δ ≥ 0.
        causal: what is barred where i < j.

    Returns:
        positions [B, n] int64, the slot of each target, 0 beyond ``target_lengths``; aligned [B, n] bool, True where
        the target is aligned, False where it is skipped and beyond ``target_lengths``.
    """
    batch, m, n = target_lprobs.shape
    costs = _finite_costs(target_lprobs.permute(2, 0, 1))  # [n, B, m]
    # column j of the table is slot j; column 0, before any slot, pays for skipped targets with slot 1
    skip_costs = torch.cat([costs[:, :, :1], costs], 2).mul_(skip_target_penalty)
    prefix = torch.nn.functional.pad(_finite_costs(blank_lprobs).cumsum(1), (1, 0))
    starts = torch.empty(n, batch, m + 1, dtype=torch.int64, device=prefix.device)
    aligns = torch.empty(n, batch, m + 1, dtype=torch.bool, device=prefix.device)
    column = torch.arange(m + 1, device=prefix.device)
    align = torch.full_like(prefix, float("inf"))
    skip, best, lowest, relative = (torch.empty_like(prefix) for _ in range(4))
    above = prefix
    rows = zip(costs.unbind(0), skip_costs.unbind(0), starts.unbind(0), aligns.unbind(0), strict=True)
    for i, (cost, skip_cost, start, is_align) in enumerate(rows):
        torch.add(above[:, :-1], cost, out=align[:, 1:])
        torch.add(above, skip_cost, out=skip)
        if causal:
            align[:, i + 2 :] = float("inf")
        if causal == Causality.TARGETS:
            skip[:, i + 2 :] = float("inf")
        torch.le(align, skip, out=is_align)
        torch.minimum(align, skip, out=best)
        torch.cummin(torch.sub(best, prefix, out=relative), 1, out=(lowest, start))
        # where the chain is empty the sum is exactly its start
        above = torch.where(start == column, best, lowest.add_(prefix))
    return _trace_axe(starts, aligns, logit_lengths, target_lengths)


def ctc_best_paths(lprobs: Tensor, targets: Tensor, logit_lengths: Tensor, target_lengths: Tensor) -> Tensor:
    """The most probable CTC path of each sentence (Viterbi); arguments as in :func:`ctc_occupancy`.

    Returns:
        [B, m] int64, the column that each slot says, n (blank) beyond the lengths and where the target cannot fit.
    """
    batch, m, columns = lprobs.shape
    n = columns - 1
    states = 2 * n + 1
    state = torch.arange(states, device=lprobs.device)
    column_of = torch.where(state % 2 == 0, n, state // 2)
    emitted = lprobs.transpose(0, 1).index_select(2, column_of)  # [m, B, 2n+1]
    impossible = float("-inf")
    # the three ways into a state: past a blank from the target before (if it differs), from the state before, staying
    penalty = torch.zeros(3, batch, states, dtype=lprobs.dtype, device=lprobs.device)
    penalty[0] = impossible
    penalty[0, :, 3::2].masked_fill_(targets[:, 1:] != targets[:, :-1], 0.0)
    scores = torch.full((m, batch, states + 2), impossible, dtype=lprobs.dtype, device=lprobs.device)
    inner = scores[:, :, 2:]
    inner[0, :, :2] = emitted[0, :, :2]
    ways = scores.as_strided((m, 3, batch, states), (scores.stride(0), 1, scores.stride(1), 1))
    candidates, best = torch.empty_like(penalty), torch.empty_like(penalty[0])
    for before, into, said in zip(ways[:-1], inner[1:], emitted[1:], strict=True):
        torch.add(before, penalty, out=candidates)
        torch.amax(candidates, 0, out=best)
        torch.add(best, said, out=into)
    final = inner[logit_lengths - 1, torch.arange(batch, device=lprobs.device)]
    ends = torch.stack((2 * target_lengths, (2 * target_lengths - 1).clamp(min=0)), 1)
    reached, which = final.gather(1, ends).max(1, keepdim=True)
    at = ends.gather(1, which)
    real = length_mask(logit_lengths, m)
    # the way that was taken is found again where the path passes: three numbers a slot instead of 2n+1
    way = torch.arange(3, device=lprobs.device)
    way_penalty = penalty.permute(1, 2, 0).reshape(batch, 3 * states)
    path = at.repeat(1, m)
    for slot in range(m - 1, 0, -1):
        into = scores[slot - 1].gather(1, at + way) + way_penalty.gather(1, 3 * at + way)
        back = 2 - into.argmax(1, keepdim=True)
        # (a sentence without any path would walk out of the table)
        at = (at - back.masked_fill_(~real[:, slot, None], 0)).clamp_(min=0)
        path[:, slot - 1 : slot] = at
    found = column_of[path]
    return found.masked_fill(~(real & (reached > impossible)), n)


def _pieces(rows: Tensor) -> list[slice]:
    at_once = max(1, _PIECE // max(1, rows.size(1))) if rows.device.type == "cpu" else max(1, rows.size(0))
    return [slice(start, start + at_once) for start in range(0, rows.size(0), at_once)]


def _in_rows(tokens: Tensor, width: int) -> Tensor:
    """[B, 1 or m, K] -> [B·m, K]."""
    return tokens.expand(-1, width, -1).flatten(0, 1)


def _log_sum_exp(rows: Tensor, real: Tensor) -> Tensor:
    """[R] of rows [R, V]. On a CPU first without the pass that finds the maximum; rows that need it are done again."""
    if rows.device.type != "cpu":
        return rows.logsumexp(1)
    # (2^ of a rounded product is off by no more than half a last place of the largest logit, as is the result)
    sums = (rows * LOG2_E).exp2_().sum(1)
    again = real & ~((sums > _SMALLEST) & (sums < _LARGEST))
    result = sums.log_()
    if bool(again.any()):
        result[again] = rows[again].logsumexp(1)
    return result


def _shift_and_scale(normalizers: Tensor, softmax_weights: Tensor, real: Tensor) -> tuple[Tensor, Optional[Tensor]]:
    """[B·m, 1] each, such that -softmax_weight · p = scale · 2^(logit · log2 e + shift); a scale of None is 1.

    Weights of one sign, as losses have them, go into the exponent, which saves a pass. On a GPU to look at the signs
    would wait for the kernels, so there the scale is always given.
    """
    scale = softmax_weights.neg()
    off = (scale == 0) | ~real  # 2^-inf = 0
    if scale.device.type == "cpu" and bool((scale >= 0).all()):
        shift = (scale.log() - normalizers).mul_(LOG2_E)
        return shift.masked_fill_(off, float("-inf")).view(-1, 1), None
    return (normalizers * -LOG2_E).masked_fill_(off, float("-inf")).reshape(-1, 1), scale.reshape(-1, 1)


def _zero_dead_slots_(
    out: Tensor, real: Tensor, token_weights: Tensor, softmax_weights: Tensor, uniform_weights: Optional[Tensor]
) -> None:
    """Zero in place where no weight is: what logits of NaN or infinity would otherwise leave there."""
    dead = (softmax_weights == 0) & (token_weights == 0).all(2)
    if uniform_weights is not None:
        dead &= uniform_weights == 0
    dead |= ~real
    if out.device.type == "cpu":  # not out[dead] = 0, which goes through all of out even where nothing is dead
        out.view(-1, out.size(2)).index_fill_(0, dead.view(-1).nonzero().squeeze(1), 0.0)
    else:
        out.masked_fill_(dead.unsqueeze(2), 0.0)


def _finite_costs(lprobs: Tensor) -> Tensor:
    """-log p in float64, with a finite stand-in for infinity that keeps sums exact enough to compare them."""
    return lprobs.to(torch.float64).neg().clamp(max=1e9)


def _trace_axe(starts: Tensor, aligns: Tensor, logit_lengths: Tensor, target_lengths: Tensor) -> tuple[Tensor, Tensor]:
    """From the last column up: each row leads on from where its chain starts, one column further left if it aligns."""
    n, batch, _ = starts.shape
    if n == 0:
        return starts.new_zeros(batch, 0), aligns.new_zeros(batch, 0)
    real = torch.arange(n, device=starts.device).unsqueeze(1) < target_lengths  # [n, B]
    leads_to = starts - aligns.gather(2, starts).to(torch.int64)
    columns = [logit_lengths.unsqueeze(1)]
    for lead, is_real in zip(leads_to.flip(0).unbind(0), real.flip(0).unsqueeze(2).unbind(0), strict=True):
        columns.append(torch.where(is_real, lead.gather(1, columns[-1]), columns[-1]))
    entered = torch.stack(columns[-2::-1])  # [n, B, 1], the column in which the path comes up to each row
    start = starts.gather(2, entered)
    aligned = aligns.gather(2, start).squeeze(2) & real
    positions = (start.squeeze(2) - 1).clamp(min=0).masked_fill(~real, 0)
    return positions.t().contiguous(), aligned.t().contiguous()
