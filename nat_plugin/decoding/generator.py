"""The generator that fairseq-generate, fairseq-interactive and ``--eval-bleu`` call."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nat_plugin.canvas.lengths import scaled_lengths
from nat_plugin.decoding.finalising import FinalTokens, finalise
from nat_plugin.decoding.mask_predict import FilledCanvas, mask_predict
from nat_plugin.decoding.options import DecodingOptions
from nat_plugin.decoding.reranking import TeacherReranker
from nat_plugin.errors import UserError
from nat_plugin.symbols import BLANK, MASK


class NatGenerator:
    """Translates a batch: lengths, canvas, decoder passes, final tokens.

    Args:
        dictionary: the target dictionary, with ``<mask>`` and ``<blank>``.
        options: see :class:`DecodingOptions`.
        reranker: chooses among the candidates of each sentence; by default their own mean log-probability does.
    """

    def __init__(self, dictionary: Any, options: DecodingOptions, reranker: TeacherReranker | None = None) -> None:
        self.options = options
        self.reranker = reranker
        self.pad_idx = dictionary.pad()
        self.mask_idx = dictionary.index(MASK)
        self.eos = dictionary.eos()
        self.never_predicted = torch.tensor([dictionary.bos(), dictionary.pad(), dictionary.eos(), self.mask_idx])
        self.dropped = torch.cat([self.never_predicted, torch.tensor([dictionary.index(BLANK)])])
        self.symbols_to_strip_from_output = set(self.dropped.tolist())

    @torch.no_grad()
    def generate(self, models: list[Any], sample: dict[str, Any], **unused: Any) -> list[list[dict[str, Any]]]:
        """Translate ``sample`` and return, for each sentence, its hypotheses as fairseq wants them, best first.

        A hypothesis has ``tokens`` (without end of sentence), ``score`` (mean log-probability of those tokens, nats, or
        the reranker's), ``positional_scores``, ``steps`` (decoder passes), and ``history`` when it is asked for.

        Raises:
            UserError: several models were given.
        """
        if len(models) != 1:
            raise UserError("--path names several checkpoints: average them into one, ensembles are not supported.")
        model = models[0]
        model.eval()
        options = self.options
        encoder_out = model.encode(sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"])
        collapse = model.upsamples
        if collapse:
            lengths = model.upsampled_lengths(encoder_out)
            batch, candidates = lengths.size(0), 1
        else:
            predicted = model.candidate_lengths(encoder_out, options.length_candidates)
            batch, candidates = predicted.shape
            lengths = scaled_lengths(predicted, options.length_multiplier, model.max_slots).flatten()
        if candidates > 1:
            index = torch.arange(batch, device=lengths.device).repeat_interleave(candidates)
            encoder_out = model.encoder.reorder_encoder_out(encoder_out, index)

        never_predicted = self.never_predicted.to(lengths.device)

        def predict(slots: Tensor) -> tuple[Tensor, Tensor]:
            best: tuple[Tensor, Tensor] = model.fill_slots(slots, lengths, encoder_out, never_predicted)
            return best

        filled = mask_predict(
            predict,
            lengths,
            mask_idx=self.mask_idx,
            iterations=options.iterations,
            stop_when_unchanged=options.stop_when_unchanged,
            keep_history=options.retain_history,
        )
        return self._hypotheses(filled, lengths, batch, candidates, sample["net_input"], collapse)

    def _finalise(self, tokens: Tensor, scores: Tensor, lengths: Tensor, collapse: bool) -> FinalTokens:
        return finalise(
            tokens,
            scores,
            lengths,
            dropped=self.dropped.to(tokens.device),
            pad_idx=self.pad_idx,
            collapse=collapse,
            deduplicate=self.options.deduplicate,
        )

    def _hypotheses(
        self,
        filled: FilledCanvas,
        lengths: Tensor,
        batch: int,
        candidates: int,
        source: dict[str, Tensor],
        collapse: bool,
    ) -> list[list[dict[str, Any]]]:
        final = self._finalise(filled.tokens, filled.scores, lengths, collapse)
        if self.reranker is None:
            ranking = final.mean_scores()
        else:
            ranking = self.reranker.score(source["src_tokens"], source["src_lengths"], final.tokens, final.lengths)
        # a stable order: of equal scores the more probable length wins
        order = ranking.view(batch, candidates).argsort(dim=1, descending=True, stable=True)
        rows = order + torch.arange(batch, device=order.device).unsqueeze(1) * candidates
        chosen = rows[:, : self.options.nbest].cpu()
        history = [self._finalise(tokens, scores, lengths, collapse) for tokens, scores in filled.history]
        on_cpu = [FinalTokens(*(part.cpu() for part in entry)) for entry in (final, *history)]
        ranking, steps = ranking.cpu(), filled.steps.cpu()

        def hypothesis(row: int) -> dict[str, Any]:
            tokens, scores = _trim(on_cpu[0], row)
            return {
                "tokens": tokens,
                "positional_scores": scores,
                "score": float(ranking[row]),
                "steps": int(steps[row]),
                "attention": None,
                "alignment": None,
                "history": [
                    dict(zip(("tokens", "positional_scores"), _trim(entry, row), strict=True)) for entry in on_cpu[1:]
                ],
            }

        return [[hypothesis(int(row)) for row in sentence] for sentence in chosen]


def _trim(final: FinalTokens, row: int) -> tuple[Tensor, Tensor]:
    """One row's tokens and scores without padding, as tensors of their own (fairseq divides the scores in place)."""
    length = int(final.lengths[row])
    return final.tokens[row, :length].clone(), final.scores[row, :length].clone()
