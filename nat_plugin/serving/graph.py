"""A one-pass model and its decoding as a single torch module, without anything that depends on data but shapes.

The model's own code is what runs: encoder, lengths, canvas, decoder, the finishing of tokens. Some things do not fit
into a graph and are replaced, those of the model in a copy of it:

- Questions about data. fairseq asks whether there is any padding, to do without a mask where there is none. A graph
  always masks, which changes nothing: every such question is answered with yes (:class:`_Yes`).
- Position embeddings that grow when a sentence is longer than any before: they get their final size.
- The output layer in pieces, whose number would depend on the batch: it is one piece, and its weights are no longer
  those of the embeddings, so that each can have its own number format.
- Products of lengths and numbers such as 1.15: ONNX files get such a number in single precision, which rounds other
  halves up. All of them are worked out before, in a table.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nat_plugin.canvas.lengths import scaled_lengths
from nat_plugin.decoding.finalising import finalise
from nat_plugin.decoding.options import DecodingOptions
from nat_plugin.decoding.output_symbols import OutputSymbols
from nat_plugin.errors import UserError
from nat_plugin.symbols import MASK

EXPORTABLE = ("length_multiplier", "length_candidates", "deduplicate", "blank_penalty")
"""Options of decoding that a graph can have; all others must be as they are by default."""
_MEANS_NOTHING = ("nbest", "retain_history", "stop_when_unchanged", "remask_neighbours")  # in one pass


def check_exportable(options: DecodingOptions) -> None:
    """Refuse decoding that one pass of the decoder does not do.

    Raises:
        UserError: an option is set that no graph has.
    """
    for entry in dataclasses.fields(options):
        value = getattr(options, entry.name)
        if entry.name not in (*EXPORTABLE, *_MEANS_NOTHING) and value != entry.default:
            raise UserError(
                f"--{entry.name.replace('_', '-')} {value} cannot be exported, only plain decoding in one pass: set "
                f"{entry.name}={entry.default}."
            )


class OnePassGraph(nn.Module):
    """From source tokens to translations in one pass of the decoder.

    Args:
        model: a trained model of ``nat_translation``; it is copied.
        dictionary: the target's, with ``<mask>`` and ``<blank>``.
        options: those of :data:`EXPORTABLE` are built in.

    Raises:
        UserError: see :func:`check_exportable`.
    """

    _handicap: Tensor
    _dropped: Tensor
    _slots: Tensor

    def __init__(self, model: Any, dictionary: Any, options: DecodingOptions) -> None:
        super().__init__()
        check_exportable(options)
        self._options, self._pad, self._mask = options, dictionary.pad(), dictionary.index(MASK)
        self._model = _for_a_graph(model)
        symbols = OutputSymbols(dictionary, options.blank_penalty)
        handicap = symbols.restrict_(torch.zeros(self._model.decoder.output_projection.weight.size(0)))
        self.register_buffer("_handicap", handicap, persistent=False)
        self.register_buffer("_dropped", symbols.dropped, persistent=False)
        self.register_buffer("_slots", self._slots_by_length(), persistent=False)

    @property
    def longest_source(self) -> int:
        """Tokens of a source, end marker included."""
        return int(self._model.max_positions()[0])

    def forward(self, src_tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Translate.

        Args:
            src_tokens: [B, S] int64, each sentence with its end marker, padded on the right.

        Returns:
            tokens [B, m] int64, padded; lengths [B] int64; and the mean log-probability of the tokens that stay, [B]
            float32, nats, -inf where none does.
        """
        with _Yes():
            src_lengths = src_tokens.ne(self._pad).sum(1)
            encoder_out = self._model.encode(src_tokens, src_lengths)
            lengths, candidates, encoder_out = self._canvases(encoder_out, src_lengths - 1)
            tokens, scores = self._fill(lengths, encoder_out)
            final = finalise(
                tokens,
                scores,
                lengths,
                dropped=self._dropped,
                pad_idx=self._pad,
                collapse=self._model.upsamples,
                deduplicate=self._options.deduplicate,
            )
            ranking = final.mean_scores()
            if candidates == 1:
                return final.tokens, final.lengths, ranking
            best = ranking.view(-1, candidates).argmax(1)
            rows = best + candidates * torch.arange(best.size(0), device=best.device)
            return final.tokens[rows], final.lengths[rows], ranking[rows]

    @torch.no_grad()
    def _slots_by_length(self) -> Tensor:
        """Slots for a source of 0, 1, … words where the source's length gives the canvas's, else for a predicted length
        of 0, 1, …; int64."""
        model = self._model
        if not model.upsamples:
            lengths = torch.arange(model.max_slots + 1)
            return scaled_lengths(lengths, self._options.length_multiplier, model.max_slots)
        tokens = torch.arange(self.longest_source)
        of_each_length = tokens > tokens.unsqueeze(1)  # row n: n words and the end marker are no padding
        slots: Tensor = model.upsampled_lengths({"encoder_padding_mask": [of_each_length]})
        return slots

    def _canvases(self, encoder_out: dict[str, Any], words: Tensor) -> tuple[Tensor, int, dict[str, Any]]:
        """Slots of each canvas [B·k], k, and the encoder's output for each.

        Args:
            words: [B] int64, source lengths without end marker.
        """
        model, candidates = self._model, self._options.length_candidates
        if model.upsamples:
            return self._slots[words], 1, encoder_out
        lengths = self._slots[model.candidate_lengths(encoder_out, candidates)].flatten()
        if candidates > 1:
            rows = torch.arange(words.size(0), device=words.device).repeat_interleave(candidates)
            encoder_out = model.encoder.reorder_encoder_out(encoder_out, rows)
        return lengths, candidates, encoder_out

    def _fill(self, lengths: Tensor, encoder_out: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """The most probable token of each slot of masked canvases, and its log-probability: [B·k, m] each."""
        widest: Any = lengths.max().item()  # not int(): the graph keeps it open
        torch._check(widest >= 1)
        torch._check(widest <= self._model.max_slots)
        slots = torch.full((lengths.size(0), widest), self._mask, device=lengths.device)
        logits = self._model.decode_canvas(slots, lengths, encoder_out)
        tokens = (logits + self._handicap).argmax(-1)
        # barred tokens count in the normaliser
        return tokens, logits.log_softmax(-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)


class _Yes(TorchFunctionMode):
    """Answers every ``if tensor:`` with yes."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return True if func is Tensor.__bool__ else func(*args, **(kwargs or {}))


class _Positions(nn.Module):
    """Sinusoidal positions in a table of fixed size, as fairseq computes them."""

    table: Tensor

    def __init__(self, table: Tensor, pad: int, max_positions: int) -> None:
        super().__init__()
        self.register_buffer("table", table, persistent=False)
        self._pad, self.max_positions = pad, max_positions

    def forward(self, tokens: Tensor, **unused: Any) -> Tensor:
        """[B, S] ids → [B, S, D]; padding has the row of padding, 0."""
        real = tokens.ne(self._pad).to(torch.int64)
        rows: Tensor = self.table[real.cumsum(1) * real + self._pad]
        return rows


def _for_a_graph(model: Any) -> Any:
    from fairseq.modules import SinusoidalPositionalEmbedding

    copied = copy.deepcopy(model).float().requires_grad_(False)
    copied.eval()  # which returns nothing once fairseq has prepared a model for inference
    longest = {"encoder": model.max_positions()[0], "decoder": model.max_slots + 1}
    for side, positions in longest.items():
        part = getattr(copied, side)
        sinusoids = part.embed_positions
        if isinstance(sinusoids, SinusoidalPositionalEmbedding):
            pad, width = sinusoids.padding_idx, sinusoids.embedding_dim
            table = sinusoids.get_embedding(positions + pad + 1, width, pad)
            part.embed_positions = _Positions(table, pad, sinusoids.max_positions)
    output = copied.decoder.output_projection
    output.weight = nn.Parameter(output.weight.clone(), requires_grad=False)
    return copied
