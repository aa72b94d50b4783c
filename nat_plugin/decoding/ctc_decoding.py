"""Candidates from beam search over the slots of a CTC model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nat_plugin.alignments import ctc_best_alignment
from nat_plugin.decoding.candidates import Candidates
from nat_plugin.decoding.ctc_beam import CtcBeamDecoder, CtcHypothesis, TopTokens
from nat_plugin.decoding.finalising import finalise
from nat_plugin.decoding.options import DecodingOptions
from nat_plugin.decoding.output_symbols import OutputSymbols
from nat_plugin.padding import length_mask


class _Found(NamedTuple):
    """A hypothesis, and which of its sentence's canvases it was found in."""

    tokens: tuple[int, ...]
    score: float
    canvas: int


def search_slots(
    model: Any,
    encoder_out: dict[str, Any],
    decoder: CtcBeamDecoder,
    options: DecodingOptions,
    symbols: OutputSymbols,
    keep: int,
) -> Candidates:
    """Search the canvas of each sentence and each value of z.

    While worker processes search, the model goes on with the next sentences of the batch.

    Args:
        encoder_out: of B·``options.latent_samples`` sentences, see :func:`nat_plugin.decoding.latent.with_latent`.
        symbols: on the model's device.
        keep: how many candidates of each sentence, at most.
    """
    lengths = model.upsampled_lengths(encoder_out)
    slots = torch.full((len(lengths), int(lengths.max())), symbols.mask, device=lengths.device)
    chunks = model.top_slots(slots, lengths, encoder_out, symbols, decoder.choices)
    top, hypotheses = _search(decoder, chunks, lengths)
    lists = [
        _merged(canvases, options.ctc_candidates, options.deduplicate)[:keep]
        for canvases in _grouped(hypotheses, options.latent_samples)
    ]
    return _as_candidates(lists, top, lengths, options.latent_samples, symbols)


def _search(
    decoder: CtcBeamDecoder, chunks: Iterator[tuple[Tensor, Tensor]], lengths: Tensor
) -> tuple[TopTokens, list[list[CtcHypothesis]]]:
    """Search sentence after sentence as the model gives their slots, or all at once where the search wants that."""
    tops, pending, done = [], [], 0
    for lprobs, tokens in chunks:
        tops.append(TopTokens(lprobs, tokens))
        if not decoder.takes_whole_batches:
            pending.append(decoder.submit(tops[-1], lengths[done : done + len(tokens)]))
            done += len(tokens)
    top = TopTokens(*(torch.cat(parts) for parts in zip(*tops, strict=True)))
    if decoder.takes_whole_batches:
        pending.append(decoder.submit(top, lengths))
    return top, [found for part in pending for found in part.result()]


def _grouped(hypotheses: Sequence[list[CtcHypothesis]], size: int) -> Iterator[Sequence[list[CtcHypothesis]]]:
    return (hypotheses[first : first + size] for first in range(0, len(hypotheses), size))


def _merged(canvases: Sequence[list[CtcHypothesis]], of_each: int, deduplicate: bool) -> list[_Found]:
    """One list of different sentences, best first, of the best ``of_each`` (0: all) of each canvas."""
    best: dict[tuple[int, ...], _Found] = {}
    for canvas, found in enumerate(canvases):
        for entry in found[: of_each or None]:
            tokens = tuple(token for token, _ in groupby(entry.tokens)) if deduplicate else entry.tokens
            if tokens not in best or best[tokens].score < entry.score:
                best[tokens] = _Found(tokens, entry.score, canvas)
    return sorted(best.values(), key=lambda entry: (-entry.score, entry.tokens))


def _as_candidates(
    lists: list[list[_Found]], top: TopTokens, lengths: Tensor, samples: int, symbols: OutputSymbols
) -> Candidates:
    count = max(map(len, lists))
    width = max(1, max(len(entry.tokens) for found in lists for entry in found))
    missing = _Found((), float("-inf"), 0)
    rows = [entry for found in lists for entry in found + [missing] * (count - len(found))]
    is_real = [place < len(found) for found in lists for place in range(count)]
    device = lengths.device
    tokens = torch.tensor([[*entry.tokens, *[symbols.pad] * (width - len(entry.tokens))] for entry in rows])
    first = torch.arange(len(lists)).repeat_interleave(count) * samples
    canvas = (first + torch.tensor([entry.canvas for entry in rows])).to(device)
    sizes = torch.tensor([len(entry.tokens) for entry in rows])
    scores = torch.tensor([entry.score for entry in rows])
    tokens, sizes, scores = tokens.to(device), sizes.to(device), scores.to(device)

    def token_scores(chosen: Tensor) -> Tensor:
        of = canvas[chosen]
        of_canvases = TopTokens(*(part[of] for part in top))
        return alignment_scores(of_canvases, lengths[of], tokens[chosen], sizes[chosen], symbols.blank)

    return Candidates(
        count=count,
        tokens=tokens,
        lengths=sizes,
        scores=scores,
        steps=torch.tensor(is_real).to(lengths),
        token_scores=token_scores,
        history=[],
    )


def alignment_scores(top: TopTokens, lengths: Tensor, tokens: Tensor, token_lengths: Tensor, blank_idx: int) -> Tensor:
    """What the most probable alignment of each sentence says of its tokens: of each token's run of slots, the best.

    Greedy decoding scores its tokens in the same way.

    Args:
        top: [R, m, k], the tokens that each slot may take.
        lengths: [R], slots.
        tokens: [R, n], sentences that are made of such tokens alone.
        token_lengths: [R].

    Returns:
        [R, n], nats; 0 beyond the lengths, and NaN where a sentence has no alignment in these tokens, as when equal
        neighbours were merged that stand in slots side by side.
    """
    width = tokens.size(1)
    sought = torch.nn.functional.pad(tokens, (0, 1), value=blank_idx)  # [R, n + 1]
    window = top.lprobs.new_full((*top.tokens.shape[:2], width + 1), float("-inf"))
    for lprobs, token in zip(top.lprobs.unbind(2), top.tokens.unbind(2), strict=True):
        window = torch.where(token.unsqueeze(2) == sought.unsqueeze(1), lprobs.unsqueeze(2), window)
    # A vocabulary of the sentence's own: equal tokens share the first one's column, the blank has the last.
    symbols = (tokens.unsqueeze(2) == tokens.unsqueeze(1)).to(torch.uint8).argmax(2)
    path = ctc_best_alignment(window, symbols, lengths, token_lengths, blank_idx=width)
    said = window.gather(2, path.unsqueeze(2)).squeeze(2)
    final = finalise(path, said, lengths, dropped=path.new_tensor([width]), pad_idx=width, collapse=True)
    real, is_aligned = length_mask(token_lengths, width), final.lengths.eq(token_lengths)
    scores = final.scores[:, :width].masked_fill(~real, 0.0)
    return scores.masked_fill(real & ~is_aligned.unsqueeze(1), float("nan"))
