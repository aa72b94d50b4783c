"""Dynamic KD: of several targets of each sentence, the one that training goes on with (Huang et al. 2022, §3.4, F)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple, Optional

import torch
from torch import Tensor

from nat_plugin.alignments.slot_log_probs import slot_log_probs
from nat_plugin.canvas.glancing import FirstPass
from nat_plugin.models.aside import aside
from nat_plugin.models.repeated_sentences import Repetition, repeated_sentences
from nat_plugin.padding import length_mask
from nat_plugin.pieces import logits_at_once


class TargetCandidates(NamedTuple):
    """K targets of each sentence.

    Attributes:
        tokens: [B, K, n] int64, without end of sentence; padding beyond ``lengths``.
        lengths: [B, K], at least 1.
        regulariser: [B, K] float64, β·Σ_i γ_i·S(Γ_i, T_k), what is subtracted of a candidate's cost; None: nothing.
        per_token: whether the cost is a mean over tokens in place of their sum.
    """

    tokens: Tensor
    lengths: Tensor
    regulariser: Optional[Tensor]
    per_token: bool


class ChosenTargets(NamedTuple):
    """What was chosen for each sentence.

    Attributes:
        tokens: [B, n] int64, padded as the candidates were.
        lengths: [B].
        choice: [B] int64, which candidate it is.
        cost: [B] float32, L̂_NAT in nats.
        regulariser: [B] float64; zeros where there is none.
        first_pass: what scoring saw on the chosen canvas, where it is that of a pass of its own.
    """

    tokens: Tensor
    lengths: Tensor
    choice: Tensor
    cost: Tensor
    regulariser: Tensor
    first_pass: Optional[ScoredCanvas]


class ScoredCanvas(NamedTuple):
    """A fully masked canvas after a pass of the decoder.

    Attributes:
        states: [B, n, D], the last layer's; for logits, where they are needed.
        predictions: [B, n] int64, the most probable tokens.
        probabilities: [B, n] float32, those of the chosen target's tokens.
    """

    states: Tensor
    predictions: Tensor
    probabilities: Tensor

    def against_targets(self, targets: Tensor) -> FirstPass:
        """A first pass whose proxy targets are the targets [B, n] themselves, slot by slot."""
        return FirstPass(targets, self.predictions, self.probabilities)


def choose_targets(
    model: Any, candidates: TargetCandidates, encoder_out: dict[str, Any], *, keep_pass: bool
) -> ChosenTargets:
    """T = argmin_k L̂_NAT(T_k) - β·Σ_i γ_i·S(Γ_i, T_k); of equal candidates the first (Eq. 21 and appendix F).

    L̂_NAT is the cross entropy, slot by slot, of a fully masked canvas, whatever else is trained. Such a canvas
    depends on nothing but its length, so each different length of a sentence is decoded once, all in one batch, without
    gradient. The random numbers are left as they were, and every canvas of a sentence has the same dropout, that of the
    sentence in a pass over the batch that begins here and has as many slots.

    Args:
        model: a :class:`~nat_plugin.models.nat_transformer.NatTransformerModel` with one slot a target token.
        candidates: see :class:`TargetCandidates`.
        encoder_out: of the sentences.
        keep_pass: whether :attr:`ChosenTargets.first_pass` is wanted; it is None where another pass would have other
            dropout. The targets then keep the candidates' width; otherwise they are cut to what they need.
    """
    with aside(candidates.tokens.device):
        return _choose(model, candidates, encoder_out, keep_pass)


class _Canvases(NamedTuple):
    """The different canvases of a batch after their pass, in the order of the sentences.

    Attributes:
        states: [P, n, D].
        lengths: [P], slots of each.
        sentence_of: [P] int64.
        canvas_of: [B, K] int64, that of each candidate.
        first_of: [B + 1] int64, the first of each sentence, and P.
    """

    states: Tensor
    lengths: Tensor
    sentence_of: Tensor
    canvas_of: Tensor
    first_of: Tensor


class _Scores(NamedTuple):
    """Fields of :class:`ChosenTargets` and :class:`ScoredCanvas`, and the number of the chosen canvas, [B] each."""

    choice: Tensor
    cost: Tensor
    regulariser: Tensor
    canvas: Tensor
    predictions: Tensor
    probabilities: Tensor


def _choose(model: Any, candidates: TargetCandidates, encoder_out: dict[str, Any], keep_pass: bool) -> ChosenTargets:
    sentences, count, width = candidates.tokens.shape
    canvases = _decode(model, candidates, encoder_out)
    step = max(1, logits_at_once(candidates.tokens.device) // (len(model.decoder.dictionary) * width * count))
    edges = [*range(0, sentences, step), sentences]
    firsts = canvases.first_of[edges].tolist()
    pieces = zip(pairwise(edges), pairwise(firsts), strict=True)
    parts = [_choose_some(model, candidates, canvases, slice(*piece), slice(*rows)) for piece, rows in pieces]
    scores = _Scores(*(torch.cat(column) for column in zip(*parts, strict=True)))
    each = torch.arange(sentences, device=scores.choice.device)
    tokens, lengths = candidates.tokens[each, scores.choice], candidates.lengths[each, scores.choice]
    first_pass = None
    if keep_pass:
        first_pass = ScoredCanvas(canvases.states[scores.canvas], scores.predictions, scores.probabilities)
    else:
        tokens = tokens[:, : int(lengths.max())]
    return ChosenTargets(tokens, lengths, *scores[:3], first_pass)


def _decode(model: Any, candidates: TargetCandidates, encoder_out: dict[str, Any]) -> _Canvases:
    """Each different length of each sentence, decoded once."""
    sentences, _, width = candidates.tokens.shape
    every = torch.arange(sentences + 1, device=candidates.lengths.device)
    keys = every[:-1].unsqueeze(1) * (width + 1) + candidates.lengths
    different, canvas_of = keys.unique(return_inverse=True)
    sentence_of, lengths = different // (width + 1), different % (width + 1)
    first_of = torch.searchsorted(sentence_of, every)
    hidden = torch.full((len(different), width), model.symbols.mask, device=lengths.device)
    with repeated_sentences(model.decoder, Repetition(sentence_of, first_of[:-1])):
        states = model.slot_states(hidden, lengths, model.encoder.reorder_encoder_out(encoder_out, sentence_of))
    return _Canvases(states, lengths, sentence_of, canvas_of, first_of)


def _choose_some(
    model: Any, candidates: TargetCandidates, canvases: _Canvases, sentences: slice, rows: slice
) -> _Scores:
    """The choice for ``sentences``, whose canvases are ``rows``; logits are made of their real slots alone."""
    lengths, states = canvases.lengths[rows], canvases.states[rows]
    real = length_mask(lengths, states.size(1))
    logits = model.decoder.output_layer(states[real])
    wanted = candidates.tokens[canvases.sentence_of[rows]].transpose(1, 2)[real]
    found = slot_log_probs(logits.unsqueeze(0), wanted.unsqueeze(0), lengths.sum().view(1)).of_tokens
    lprobs = found.new_zeros(*real.shape, wanted.size(1))
    lprobs[real] = found[0]

    canvas_of = canvases.canvas_of[sentences] - rows.start
    costs = -lprobs.sum(1)[canvas_of, torch.arange(canvas_of.size(1), device=real.device)]
    if candidates.per_token:
        costs = costs / candidates.lengths[sentences]
    regulariser = torch.zeros_like(costs, dtype=torch.float64)
    if candidates.regulariser is not None:
        regulariser = candidates.regulariser[sentences].to(torch.float64)
    choice = (costs - regulariser).argmin(1)
    each = torch.arange(len(choice), device=real.device)
    canvas = canvas_of[each, choice]
    row_of = real.flatten().cumsum(0).view_as(real) - 1  # a slot's row of the logits; padding has that of the last slot
    return _Scores(
        choice,
        costs[each, choice],
        regulariser[each, choice],
        canvas + rows.start,
        logits[row_of[canvas].flatten()].argmax(1).view(len(choice), -1),
        lprobs[canvas, :, choice].exp(),
    )
