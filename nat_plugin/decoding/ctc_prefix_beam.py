"""Prefix beam search over whole batches, in torch: all terms of Gu & Kong 2021, Eq. 6, inside the search.

Every hypothesis is a prefix y with two probabilities, of the alignments so far that end in a blank and of those that
end in its last token (Graves & Jaitly 2014, Hannun et al. 2014). A slot keeps a prefix (by a blank, or by its last
token once more) or extends it by a token. A prefix that is reached both ways is one hypothesis, so that the beam holds
different sentences only. Kept are those of the highest log p(y|x) + α·log p_LM(y) + β·log|y| (or β·|y|).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nat_plugin.decoding.ctc_search import Found, check_vocabulary
from nat_plugin.decoding.ngram_lm.tensors import TensorLm

_MULTIPLIER = 6364136223846793005  # of the hash of a prefix, modulo 2^64
_NEVER = float("-inf")


class _Beam(NamedTuple):
    """K prefixes of each of B sentences; an entry whose probabilities are both 0 is none.

    Attributes:
        blank, token: [B, K] float32, log-probability of its alignments that end in a blank, or in its last token.
        prefix: [B, K] int64, a hash of its tokens.
        last: [B, K] int64, its last token, -1 where it is empty.
        length: [B, K] int64.
        lm_score: [B, K] float32, log p_LM of its tokens, nats.
        lm_state: [B, K, order - 1] int64; see :class:`TensorLm`.
    """

    blank: Tensor
    token: Tensor
    prefix: Tensor
    last: Tensor
    length: Tensor
    lm_score: Tensor
    lm_state: Tensor

    @property
    def total(self) -> Tensor:
        return torch.logaddexp(self.blank, self.token)


class BatchedCtcSearch:
    """Finds the sentences of the highest total score, approximately, for all canvases of a batch at once.

    Args:
        symbols: [V] strings, the output vocabulary as the language model spells it.
        blank_idx: the blank's place in it.
        beam: prefixes that are kept after each slot.
        lm_path: an ARPA file; empty for none.
        lm_weight, token_bonus: α and β.
        bonus_form: ``log`` or ``linear``.

    Raises:
        UserError: the language model cannot be read or knows other subwords.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        blank_idx: int,
        *,
        beam: int,
        lm_path: str = "",
        lm_weight: float = 0.0,
        token_bonus: float = 0.0,
        bonus_form: str = "log",
    ) -> None:
        self.blank_idx, self.beam = blank_idx, beam
        self.lm_weight, self.token_bonus, self.bonus_form = lm_weight, token_bonus, bonus_form
        self._lm: TensorLm | None = None
        if lm_path:
            check_vocabulary(lm_path, symbols)
            self._lm = TensorLm(lm_path, symbols)

    @torch.no_grad()
    def __call__(self, lprobs: Tensor, tokens: Tensor, lengths: Tensor) -> list[list[Found]]:
        """Search a batch, on the device of its tensors.

        Args:
            lprobs: [B, m, k], log-probabilities of the k tokens that each slot may take, nats.
            tokens: [B, m, k] int64, those tokens, different ones in each slot.
            lengths: [B], slots of each sentence.

        Returns:
            For each sentence up to ``beam`` different outputs, in no order that means anything.
        """
        lprobs, lengths = lprobs.float(), lengths.to(lprobs.device)
        if self._lm is not None:
            self._lm.to(lprobs.device)
        shortest = int(lengths.min())
        beam = self._start(len(tokens), lprobs.device)
        steps = []
        for slot in range(tokens.size(1)):
            active = slot < lengths if slot >= shortest else None
            beam, parents, added = self._step(beam, lprobs[:, slot], tokens[:, slot], active)
            steps.append((parents, added))
        return self._finish(beam, steps)

    def _start(self, batch: int, device: torch.device) -> _Beam:
        shape = (batch, self.beam)
        zeros = torch.zeros(shape, dtype=torch.int64, device=device)
        never = torch.full(shape, _NEVER, device=device)
        blank = never.clone()
        blank[:, 0] = 0.0
        lm_state = self._lm.start(*shape) if self._lm else zeros.new_zeros((*shape, 0))
        return _Beam(blank, never, zeros, zeros - 1, zeros, torch.zeros(shape, device=device), lm_state)

    def _step(self, beam: _Beam, lprobs: Tensor, tokens: Tensor, active: Tensor | None) -> tuple[_Beam, Tensor, Tensor]:
        """One slot: the new beam, which entry of the old one each comes from, and the token it added or -1.

        Args:
            lprobs, tokens: [B, k].
            active: [B] bool; other sentences have no more slots and stay as they are. None: all are.
        """
        choices = tokens.size(1)
        is_blank = tokens == self.blank_idx
        repeats = tokens.unsqueeze(1) == beam.last.unsqueeze(2)  # [B, K, k]
        kept_blank, kept_token, extended = _probabilities(beam, lprobs, is_blank, repeats)
        lm_scores, lm_states = self._lm_after(beam, tokens)

        kept_score = torch.logaddexp(kept_blank, kept_token) + self._prior(beam.lm_score, beam.length)
        extended_score = extended + self._prior(lm_scores, beam.length.unsqueeze(2) + 1)
        _, chosen = torch.cat([kept_score, extended_score.flatten(1)], 1).topk(self.beam, dim=1)
        if active is not None:
            chosen = torch.where(active.unsqueeze(1), chosen, torch.arange(self.beam, device=chosen.device))

        is_kept = chosen < self.beam
        pair = (chosen - self.beam).clamp(min=0)  # place among [K, k]
        parents = torch.where(is_kept, chosen, pair.div(choices, rounding_mode="floor"))
        added = torch.where(is_kept, -1, tokens.gather(1, pair % choices))
        old = _Beam(*(_rows(column, parents) for column in beam))
        new = _Beam(
            blank=_rows(kept_blank, parents).masked_fill(~is_kept, _NEVER),
            token=torch.where(is_kept, _rows(kept_token, parents), extended.flatten(1).gather(1, pair)),
            prefix=torch.where(is_kept, old.prefix, old.prefix * _MULTIPLIER + added + 1),
            last=torch.where(is_kept, old.last, added),
            length=old.length + ~is_kept,
            lm_score=torch.where(is_kept, old.lm_score, lm_scores.flatten(1).gather(1, pair)),
            lm_state=torch.where(is_kept.unsqueeze(2), old.lm_state, _rows(lm_states.flatten(1, 2), pair)),
        )
        if active is None:
            return new, parents, added
        stay = [
            torch.where(active.view(-1, *[1] * (now.dim() - 1)), now, was) for now, was in zip(new, beam, strict=True)
        ]
        return _Beam(*stay), parents, added

    def _lm_after(self, beam: _Beam, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The language model's score and state of every prefix with every token: [B, K, k], [B, K, k, order - 1]."""
        batch, choices = tokens.shape
        shape = (batch, self.beam, choices)
        if self._lm is None:
            return beam.lm_score.unsqueeze(2).expand(shape), beam.lm_state.unsqueeze(2).expand(*shape, -1)
        state = beam.lm_state.unsqueeze(2).expand(*shape, -1)
        lprobs, states = self._lm.score(state, self._lm.word_of[tokens].unsqueeze(1).expand(shape))
        return beam.lm_score.unsqueeze(2) + lprobs, states

    def _prior(self, lm_scores: Tensor, lengths: Tensor) -> Tensor:
        """α·log p_LM + β·log|y| or β·|y|; an empty prefix counts like one token in the first form."""
        bonus = lengths.clamp(min=1).log() if self.bonus_form == "log" else lengths
        return self.lm_weight * lm_scores + self.token_bonus * bonus

    def _finish(self, beam: _Beam, steps: list[tuple[Tensor, Tensor]]) -> list[list[Found]]:
        lm_scores = beam.lm_score
        if self._lm is not None:
            lm_scores = lm_scores + self._lm.score(beam.lm_state, torch.full_like(beam.last, self._lm.end))[0]
        entry = torch.arange(self.beam, device=lm_scores.device).expand_as(lm_scores)
        added = []
        for parents, tokens in reversed(steps):
            added.append(tokens.gather(1, entry))
            entry = parents.gather(1, entry)
        paths = torch.stack(added[::-1], 2).tolist() if added else [[[]] * self.beam] * len(lm_scores)
        return [
            [
                Found(tuple(token for token in path if token >= 0), am_score, lm_score)
                for path, am_score, lm_score in zip(*columns, strict=True)
                if am_score > _NEVER
            ]
            for columns in zip(paths, beam.total.tolist(), lm_scores.tolist(), strict=True)
        ]


def _probabilities(beam: _Beam, lprobs: Tensor, is_blank: Tensor, repeats: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities after one slot.

    Returns:
        Of each prefix itself, ending in a blank and ending in its last token, [B, K] each; of each prefix extended by
        each token, [B, K, k], 0 (-inf) where that is a blank or makes a prefix that stands in the beam already: its
        share has then gone to that one.
    """
    total = beam.total
    of_last = torch.where(repeats, lprobs.unsqueeze(1), _NEVER).amax(2)  # [B, K], of each prefix's last token
    blank = total + torch.where(is_blank, lprobs, _NEVER).amax(1, keepdim=True)
    token = beam.token + of_last
    # A repeat begins a new token only behind a blank.
    before = torch.where(repeats, beam.blank.unsqueeze(2), total.unsqueeze(2))
    extended = (before + lprobs.unsqueeze(1)).masked_fill(is_blank.unsqueeze(1), _NEVER)

    # becomes[b, i, j]: prefix i with prefix j's last token is prefix j.
    longer = beam.prefix.unsqueeze(2) * _MULTIPLIER + beam.last.unsqueeze(1) + 1
    becomes = (longer == beam.prefix.unsqueeze(1)) & (total > _NEVER).unsqueeze(1)
    becomes &= beam.length.unsqueeze(2) + 1 == beam.length.unsqueeze(1)
    same_last = beam.last.unsqueeze(2) == beam.last.unsqueeze(1)
    arriving = torch.where(same_last, beam.blank.unsqueeze(2), total.unsqueeze(2)) + of_last.unsqueeze(1)
    token = torch.logaddexp(token, torch.where(becomes, arriving, _NEVER).amax(1))
    already = (becomes.unsqueeze(3) & repeats.unsqueeze(1)).any(2)
    return blank, token, extended.masked_fill(already, _NEVER)


def _rows(column: Tensor, places: Tensor) -> Tensor:
    """``column`` [B, N, …] at ``places`` [B, K]: [B, K, …]."""
    return column[torch.arange(len(places), device=places.device).unsqueeze(1), places]
