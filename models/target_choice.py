"""Dynamic KD: of several targets of each sentence, the one that training goes on with (Huang et al. 2022, §3.4, F)."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import torch
from torch import Tensor

from nat_plugin.alignments.slot_log_probs import slot_log_probs
from nat_plugin.canvas.glancing import FirstPass
from nat_plugin.models.shared_dropout import noise_of_sentences

# As for decoding: logits of so many numbers are held at once.
_LOGITS_AT_ONCE = 2**27 if torch.cuda.is_available() else 2**24


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
    devices = [candidates.tokens.device] if candidates.tokens.device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices):
        chosen = _choose(model, candidates, encoder_out, keep_pass)
    # older torch's autocast would give the next pass the weights cast here, without gradient (pytorch issue 112583)
    torch.clear_autocast_cache()
    return chosen


def _choose(model: Any, candidates: TargetCandidates, encoder_out: dict[str, Any], keep_pass: bool) -> ChosenTargets:
    tokens, lengths = candidates.tokens, candidates.lengths
    sentences, count, width = tokens.shape
    keys = torch.arange(sentences, device=lengths.device).unsqueeze(1) * (width + 1) + lengths
    different, canvas_of = keys.unique(return_inverse=True)
    rows, slots = different // (width + 1), different % (width + 1)
    with noise_of_sentences(model.decoder, rows, sentences):
        hidden = torch.full((len(rows), width), model.symbols.mask, device=tokens.device)
        states = model.slot_states(hidden, slots, model.encoder.reorder_encoder_out(encoder_out, rows))
    lprobs, predictions = _read(model, states, tokens[rows].transpose(1, 2), slots, keep_pass)
    costs = -lprobs.sum(1)[canvas_of, torch.arange(count, device=tokens.device)]
    if candidates.per_token:
        costs = costs / lengths
    regulariser = costs.new_zeros(costs.shape, dtype=torch.float64)
    if candidates.regulariser is not None:
        regulariser = candidates.regulariser.to(torch.float64)
    index = (costs - regulariser).argmin(1)
    each = torch.arange(sentences, device=tokens.device)
    chosen, chosen_lengths = tokens[each, index], lengths[each, index]
    canvas = canvas_of[each, index]
    first_pass = None
    if keep_pass:
        probabilities = lprobs[canvas, :, index].exp()
        first_pass = ScoredCanvas(states[canvas], predictions[canvas], probabilities)
    else:
        chosen = chosen[:, : int(chosen_lengths.max())]
    return ChosenTargets(chosen, chosen_lengths, index, costs[each, index], regulariser[each, index], first_pass)


def _read(model: Any, states: Tensor, tokens: Tensor, lengths: Tensor, predict: bool) -> tuple[Tensor, Tensor]:
    """Log-probabilities [P, n, K] of K tokens a slot, 0 beyond the lengths, and the best token of each, [P, n].

    Args:
        states: [P, n, D].
        tokens: [P, n, K].
        lengths: [P].
        predict: whether the best tokens are wanted; [0, n] otherwise.
    """
    rows = max(1, _LOGITS_AT_ONCE // (len(model.decoder.dictionary) * states.size(1)))
    lprobs, best = [], [tokens.new_zeros(0, states.size(1))]
    for part, wanted, real in zip(states.split(rows), tokens.split(rows), lengths.split(rows), strict=True):
        logits = model.decoder.output_layer(part)
        lprobs.append(slot_log_probs(logits, wanted, real).of_tokens)
        if predict:
            best.append(logits.argmax(2))
    return torch.cat(lprobs), torch.cat(best)
