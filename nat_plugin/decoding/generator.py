"""The generator that fairseq-generate, fairseq-interactive and ``--eval-bleu`` call."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nat_plugin.decoding.candidates import Candidates, best_rows
from nat_plugin.decoding.ctc_beam import CtcBeamDecoder
from nat_plugin.decoding.ctc_decoding import search_slots
from nat_plugin.decoding.host_copy import to_host
from nat_plugin.decoding.input_sampling import InputSampler
from nat_plugin.decoding.latent import with_latent
from nat_plugin.decoding.options import DecodingOptions
from nat_plugin.decoding.output_symbols import OutputSymbols
from nat_plugin.decoding.reranking import TeacherReranker
from nat_plugin.decoding.slot_decoding import fill_slots
from nat_plugin.errors import UserError


class NatGenerator:
    """Translates a batch: encoder, latent variable, canvases, candidates, and the best of these.

    Args:
        dictionary: the target dictionary, with ``<mask>`` and ``<blank>``.
        options: see :class:`DecodingOptions`.
        reranker: chooses among the candidates of each sentence; by default the model's own score does.
        sampler: reveals slots before the one pass, where ``options.input_sampling`` asks for it.

    Raises:
        UserError: CTC beam search is asked for and cannot be had, or its language model cannot be used.
    """

    def __init__(
        self,
        dictionary: Any,
        options: DecodingOptions,
        reranker: TeacherReranker | None = None,
        sampler: InputSampler | None = None,
    ) -> None:
        self.options = options
        self.reranker = reranker
        self.sampler = sampler
        self.symbols = OutputSymbols(dictionary, options.blank_penalty)
        self.symbols_to_strip_from_output = set(self.symbols.dropped.tolist())
        self._decoder: CtcBeamDecoder | None = None
        if options.ctc_beam:
            self._decoder = CtcBeamDecoder(self.symbols.texts, self.symbols.blank, options.beam_search)

    @torch.no_grad()
    def generate(self, models: list[Any], sample: dict[str, Any], **unused: Any) -> list[list[dict[str, Any]]]:
        """Translate ``sample`` and return, for each sentence, its hypotheses as fairseq wants them, best first.

        A hypothesis has ``tokens`` (without end of sentence), ``score`` (nats: the reranker's; else that of the beam
        search; else the mean log-probability of those tokens), ``positional_scores``, ``steps`` (decoder passes), and
        ``history`` when it is asked for.

        Raises:
            UserError: several models were given.
        """
        if len(models) != 1:
            raise UserError("--path names several checkpoints: average them into one, ensembles are not supported.")
        model = models[0]
        model.eval()
        src_tokens, src_lengths = sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"]
        candidates = self._candidates(model, src_tokens, src_lengths)
        ranking = candidates.scores
        if self.reranker is not None:
            ranking = self.reranker.score(
                src_tokens, src_lengths, candidates.tokens, candidates.lengths, self.options.lenpen
            )
        return self._hypotheses(candidates, ranking)

    def _candidates(self, model: Any, src_tokens: Tensor, src_lengths: Tensor) -> Candidates:
        options, symbols = self.options, self.symbols.to(src_tokens.device)
        encoder_out = with_latent(
            model,
            model.encode(src_tokens, src_lengths),
            src_tokens,
            samples=options.latent_samples,
            temperature=options.latent_temperature,
        )
        if self._decoder is None:
            sampled = None if self.sampler is None else self.sampler.of_batch(model, src_tokens, src_lengths, symbols)
            return fill_slots(model, encoder_out, options, symbols, sampled)
        keep = options.nbest if self.reranker is None else options.candidates
        return search_slots(model, encoder_out, self._decoder, options, symbols, keep)

    def _hypotheses(self, candidates: Candidates, ranking: Tensor) -> list[list[dict[str, Any]]]:
        rows, wanted = best_rows(candidates, ranking, self.options.nbest)
        nbest, rows = rows.size(1), rows.flatten()
        tokens, lengths, scores = candidates.tokens[rows], candidates.lengths[rows], candidates.token_scores(rows)
        passes = [tuple(part[rows] for part in entry) for entry in candidates.history]
        if self.options.retain_history and not passes:  # a beam search has one pass, which ends with its result
            passes = [(tokens, scores, lengths)]
        columns = [tokens, scores, lengths, ranking[rows], candidates.steps[rows], wanted.flatten()]
        on_host = to_host([*columns, *(part for entry in passes for part in entry)])
        sentences = _Texts(*on_host[:3])
        history = [_Texts(*on_host[first : first + 3]) for first in range(6, len(on_host), 3)]
        hypotheses = [
            {
                **sentences.text(row),
                "score": score,
                "steps": steps,
                "attention": None,
                "alignment": None,
                "history": [entry.text(row) for entry in history],
            }
            for row, (score, steps) in enumerate(zip(on_host[3].tolist(), on_host[4].tolist(), strict=True))
        ]
        is_wanted = on_host[5].tolist()
        return [
            [hypotheses[row] for row in range(first, first + nbest) if is_wanted[row]]
            for first in range(0, len(hypotheses), nbest)
        ]


class _Texts:
    """Padded rows on the host, one by one as tensors of their own (fairseq divides the scores in place)."""

    def __init__(self, tokens: Tensor, scores: Tensor, lengths: Tensor) -> None:
        self._tokens, self._scores, self._lengths = tokens, scores, lengths.tolist()

    def text(self, row: int) -> dict[str, Tensor]:
        length = self._lengths[row]
        return {
            "tokens": self._tokens[row, :length].clone(),
            "positional_scores": self._scores[row, :length].clone(),
        }
