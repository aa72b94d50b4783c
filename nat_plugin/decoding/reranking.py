"""Noisy parallel decoding (NPD, Gu et al. 2018): an autoregressive teacher chooses among the candidates of a NAT model.

All candidates of a batch, whatever they come from (lengths, latent samples, a beam), are scored by the teacher under
teacher forcing: in parallel over candidates and positions, the encoder once a sentence, equal candidates of a sentence
once, in chunks that bound memory.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nat_plugin.alignments import slot_log_probs
from nat_plugin.decoding.candidates import equal_sentences
from nat_plugin.decoding.other_models import check_languages, check_symbols, first_words, read_other_model
from nat_plugin.errors import UserError
from nat_plugin.fast_inference import set_up_for_translation_
from nat_plugin.model_kinds import is_autoregressive
from nat_plugin.padding import length_mask
from nat_plugin.pieces import logits_at_once


class TeacherReranker:
    """Scores candidates with an autoregressive model.

    Args:
        model: fairseq's encoder-decoder model, in evaluation mode; it is set up for scoring, and can do nothing else
            afterwards.
        dictionary: its target dictionary; candidates may hold tokens beyond it, which count as unknown.
    """

    def __init__(self, model: Any, dictionary: Any) -> None:
        self._model = model
        self._device: torch.device | None = None
        self._vocabulary = len(dictionary)
        self._pad, self._eos, self._unk = dictionary.pad(), dictionary.eos(), dictionary.unk()

    @classmethod
    def load(cls, path: str, task: Any) -> TeacherReranker:
        """Read a checkpoint of fairseq's ``translation`` task.

        Args:
            path: the checkpoint.
            task: whose languages and dictionaries are translated with. The teacher's dictionaries may be the first part
                of these (our special symbols stand behind all else): they are cut to its embeddings' rows.

        Raises:
            UserError: the file is missing or broken, holds no autoregressive model, translates other languages, or was
                trained with dictionaries that ours do not begin with.
        """
        from fairseq import checkpoint_utils
        from fairseq.tasks.translation import TranslationTask

        where, kind = f"--reranker {path}", "a teacher"
        state = read_other_model(path, "--reranker")
        saved = state["cfg"]["task"]
        check_languages(saved, task, where, kind)
        dictionaries = [
            first_words(dictionary, _rows(state["model"], side, path), where, kind)
            for side, dictionary in (("encoder", task.source_dictionary), ("decoder", task.target_dictionary))
        ]
        check_symbols(saved, dictionaries, where, kind)
        models, _ = checkpoint_utils.load_model_ensemble([path], task=TranslationTask(saved, *dictionaries))
        model = models[0]
        if not is_autoregressive(model):
            raise UserError(f"--reranker {path} is not autoregressive: give the checkpoint of a method=teacher run.")
        return cls(model.eval(), dictionaries[1])

    def check_room(self, source: int, target: int) -> None:
        """Compare the places that the teacher has learned with what may come; sinusoidal ones never end.

        Args:
            source, target: the most tokens of a sentence and of its translation, with their end markers.

        Raises:
            UserError: the teacher has fewer.
        """
        from fairseq.modules import LearnedPositionalEmbedding

        for side, wanted in ((self._model.encoder, source), (self._model.decoder, target)):
            positions = side.embed_positions
            if isinstance(positions, LearnedPositionalEmbedding) and positions.max_positions < wanted:
                raise UserError(
                    f"the --reranker has learned {positions.max_positions} positions and the model takes {wanted}: use "
                    "a teacher trained with the model's --max-source-positions and --max-target-positions."
                )

    @torch.no_grad()
    def score(
        self, src_tokens: Tensor, src_lengths: Tensor, tokens: Tensor, lengths: Tensor, lenpen: float = 1.0
    ) -> Tensor:
        """The teacher's log p(y, </s> | x) / (|y| + 1)^lenpen of each candidate, in nats; -inf for an empty one.

        Args:
            src_tokens: [B, S], with end of sentence, padded on either side.
            src_lengths: [B].
            tokens: [B·k, m] int64, the candidates of each sentence one after the other, without end of sentence.
            lengths: [B·k].
            lenpen: as in fairseq's beam search; 1 is the mean over tokens, more is for longer candidates.

        Returns:
            [B·k] float32.
        """
        return (
            self.token_log_probs(src_tokens, src_lengths, tokens, lengths)
            .sum(1)
            .div((lengths + 1) ** lenpen)
            .masked_fill(lengths == 0, float("-inf"))
        )

    @torch.no_grad()
    def token_log_probs(self, src_tokens: Tensor, src_lengths: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        """log p(y_i | y_<i, x) of each token and, after the last, of the end marker, nats; 0 beyond it.

        Args:
            src_tokens, src_lengths, tokens, lengths: as in :meth:`score`.

        Returns:
            [B·k, max(lengths) + 1] float32.
        """
        self._set_up(src_tokens.device)
        candidates = tokens.size(0) // src_tokens.size(0)
        encoder_out = self._model.encoder(src_tokens, src_lengths=src_lengths)
        targets = self._targets(tokens, lengths)
        same = equal_sentences(targets, lengths, candidates)
        rows = _first_of_each(same)
        rows = rows[lengths[rows].argsort()]  # a chunk is as wide as its longest
        at_once = max(1, logits_at_once(tokens.device) // (targets.size(1) * self._vocabulary))
        scores = [
            self._score_chunk(
                self._model.encoder.reorder_encoder_out(encoder_out, chunk.div(candidates, rounding_mode="floor")),
                targets[chunk],
                lengths[chunk] + 1,
            )
            for chunk in rows.split(at_once)
        ]
        in_order = torch.cat([torch.nn.functional.pad(part, (0, targets.size(1) - part.size(1))) for part in scores])
        of_group = torch.empty_like(in_order).index_copy(0, same[rows], in_order)
        return of_group[same]

    def _score_chunk(self, encoder_out: Any, targets: Tensor, lengths: Tensor) -> Tensor:
        targets = targets[:, : int(lengths.max())]
        inputs = targets.roll(1, 1)
        inputs[:, 0] = self._eos
        inputs = inputs.masked_fill(~length_mask(lengths, inputs.size(1)), self._pad)
        logits, _ = self._model.decoder(inputs, encoder_out=encoder_out)
        return slot_log_probs(logits, targets.unsqueeze(2), lengths).of_tokens.squeeze(2)

    def _targets(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        known = tokens.masked_fill(tokens >= self._vocabulary, self._unk)
        width = int(lengths.max()) + 1
        padded = torch.nn.functional.pad(known, (0, 1), value=self._pad)[:, :width]
        padded = padded.masked_fill(~length_mask(lengths, width), self._pad)
        return padded.scatter(1, lengths.unsqueeze(1), self._eos)

    def _set_up(self, device: torch.device) -> None:
        """Move the model to where the candidates are and make it fast there, the first time."""
        if self._device is None:
            self._model.to(device)
            set_up_for_translation_(self._model)
            self._device = device


def _first_of_each(groups: Tensor) -> Tensor:
    """The first place of each number 0 … in ``groups`` [N], all of which are there."""
    places = torch.arange(len(groups), device=groups.device)
    first = places.new_full((int(groups.max()) + 1,), len(groups))
    return first.scatter_reduce(0, groups, places, "amin")


def _rows(weights: dict[str, Tensor], side: str, path: str) -> int:
    matrix = weights.get(f"{side}.embed_tokens.weight")
    if matrix is None:
        raise UserError(f"--reranker {path} is no encoder-decoder transformer: give the checkpoint of a teacher.")
    return matrix.size(0)
