"""What a trained model says of slots: everything that decoding asks of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

import torch
from fairseq.models import BaseFairseqModel
from torch import Tensor

from nat_plugin.canvas.lengths import build_canvas, scaled_lengths, word_counts
from nat_plugin.decoding.output_symbols import OutputSymbols
from nat_plugin.fast_inference import set_up_for_translation_
from nat_plugin.models.config import NatTransformerConfig
from nat_plugin.models.input_predictor import InputPredictor
from nat_plugin.models.latent import LatentModel
from nat_plugin.models.length_predictor import LengthPredictor
from nat_plugin.models.nat_decoder import NatDecoder
from nat_plugin.models.nat_encoder import NatEncoder
from nat_plugin.models.slot_copy import SlotCopy
from nat_plugin.pieces import logits_at_once
from nat_plugin.symbols import MASK


class CanvasSymbols(NamedTuple):
    """Ids of the symbols that a canvas is built from."""

    pad: int
    eos: int
    mask: int

    @classmethod
    def of(cls, dictionary: Any) -> CanvasSymbols:
        return cls(dictionary.pad(), dictionary.eos(), dictionary.index(MASK))


class SlotModel(BaseFairseqModel):
    """An encoder, a length predictor, and a decoder over a canvas, without the training."""

    cfg: NatTransformerConfig
    encoder: NatEncoder
    decoder: NatDecoder
    length_predictor: LengthPredictor
    latent: Optional[LatentModel]
    slot_copy: Optional[SlotCopy]
    input_predictor: Optional[InputPredictor]
    symbols: CanvasSymbols

    def max_positions(self) -> tuple[int, int]:
        """Longest source, whose canvas must fit into the decoder, and longest target; both with their end markers."""
        longest_source = self.encoder.max_positions()
        if self.upsamples:
            longest_source = min(longest_source, int(self.max_slots / self.cfg.upsample_scale) + 1)
        return (longest_source, self.decoder.max_positions())

    @property
    def upsamples(self) -> bool:
        """Whether the source's length gives the canvas's (CTC); otherwise it is the target's, predicted."""
        return self.cfg.upsample_scale > 0

    @property
    def max_slots(self) -> int:
        """The longest canvas: every position but the end marker's."""
        return int(self.decoder.max_positions()) - 1

    def prepare_for_inference_(self, cfg: Any) -> None:
        """As fairseq's: afterwards it can only translate. ``cfg`` is fairseq's, of no use here."""
        self.encoder.prediction_layer = None  # for training alone
        set_up_for_translation_(self)

    def input_logits(self, lengths: Tensor, width: int, encoder_out: dict[str, Any]) -> Tensor:
        """Logits [B, m] of "training would mask this slot", from the source and the canvas's length alone.

        Args:
            lengths: [B], slots of each sentence.
            width: m, slots of the padded canvas.
            encoder_out: from :meth:`encode`.

        Raises:
            ValueError: the model was trained without ``--input-predictor``.
        """
        if self.input_predictor is None:
            raise ValueError("the model has no input predictor")
        hidden = torch.full((lengths.size(0), width), self.symbols.mask, device=lengths.device)
        logits: Tensor = self.input_predictor(self.slot_states(hidden, lengths, encoder_out))
        return logits

    def encode(self, src_tokens: Tensor, src_lengths: Tensor) -> dict[str, Any]:
        """The encoder's output, in fairseq's form; with a latent variable it has ``latent``, the prior's mean."""
        encoder_out: dict[str, Any] = self.encoder(src_tokens, src_lengths=src_lengths)
        if self.latent is not None:
            encoder_out["latent"] = [self.latent.prior(encoder_out).mean]
        return encoder_out

    def sample_latent(self, encoder_out: dict[str, Any], temperature: float, seeds: Tensor) -> dict[str, Any]:
        """The encoder's output with another z in place of the prior's mean: mean + temperature · scale · noise.

        Args:
            encoder_out: from :meth:`encode`; it may have been reordered.
            temperature: 0 gives the mean, 1 samples of the prior.
            seeds: [B] int64; a sentence's noise depends on its number here and nothing else.

        Raises:
            ValueError: the model has no latent variable.
        """
        if self.latent is None:
            raise ValueError("the model has no latent variable to sample")
        return self.latent.sample_prior(encoder_out, temperature, seeds)

    def length_logits(self, encoder_out: dict[str, Any]) -> Tensor:
        """Logits over length classes: [B, C]."""
        logits: Tensor = self.length_predictor(encoder_out["encoder_out"][0], encoder_out["encoder_padding_mask"][0])
        return logits

    def candidate_lengths(self, encoder_out: dict[str, Any], count: int) -> Tensor:
        """The ``count`` most probable target lengths of each sentence, best first: [B, count] int64."""
        lengths, _ = self.length_predictor.most_probable(
            self.length_logits(encoder_out), source_words(encoder_out), count, self.max_slots
        )
        return lengths

    def upsampled_lengths(self, encoder_out: dict[str, Any]) -> Tensor:
        """Slots of each sentence, round(s × source length without end of sentence): [B] int64."""
        return scaled_lengths(source_words(encoder_out), self.cfg.upsample_scale, self.max_slots)

    def decode_canvas(self, slots: Tensor, lengths: Tensor, encoder_out: dict[str, Any]) -> Tensor:
        """Logits [B, m, V] of a canvas whose slots hold the tokens ``slots`` [B, m], ``lengths`` [B] of them real."""
        logits: Tensor = self.decoder(*self._decoder_input(slots, lengths, encoder_out))
        return logits

    def slot_states(self, slots: Tensor, lengths: Tensor, encoder_out: dict[str, Any]) -> Tensor:
        """The decoder's last states [B, m, D], of which its output layer makes logits; arguments as there."""
        return self.decoder.slot_features(*self._decoder_input(slots, lengths, encoder_out))

    def fill_slots(
        self, slots: Tensor, lengths: Tensor, encoder_out: dict[str, Any], symbols: OutputSymbols
    ) -> tuple[Tensor, Tensor]:
        """The most probable token of each slot and its log-probability, without holding all logits at once.

        Args:
            slots, lengths, encoder_out: as in :meth:`decode_canvas`.
            symbols: on the model's device; what may not be chosen still counts in the normaliser.

        Returns:
            [B, m] int64 and [B, m] float32.
        """
        states = self.slot_states(slots, lengths, encoder_out).flatten(0, 1)
        rows = max(1, logits_at_once(states.device) // len(self.decoder.dictionary))
        chunks = [self._best_of(chunk, symbols) for chunk in states.split(rows)]
        tokens, lprobs = (torch.cat(parts).view_as(slots) for parts in zip(*chunks, strict=True))
        return tokens, lprobs

    def top_slots(
        self, slots: Tensor, lengths: Tensor, encoder_out: dict[str, Any], symbols: OutputSymbols, count: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The ``count`` most probable tokens of each slot and their log-probabilities, some sentences at a time.

        Args:
            slots, lengths, encoder_out, symbols: as in :meth:`fill_slots`.

        Yields:
            [b, m, count] float32 (-inf where fewer tokens may be chosen) and [b, m, count] int64, for the next b
            sentences; a caller can work on them elsewhere while the following ones are computed.
        """
        states = self.slot_states(slots, lengths, encoder_out)
        sentences = max(1, logits_at_once(states.device) // (len(self.decoder.dictionary) * slots.size(1)))
        for chunk in states.split(sentences):
            lprobs = self.decoder.output_layer(chunk).float().log_softmax(-1)
            best, tokens = symbols.restrict_(lprobs).topk(count, -1)
            yield best, tokens

    def _decoder_input(
        self, slots: Tensor, lengths: Tensor, encoder_out: dict[str, Any]
    ) -> tuple[Tensor, dict[str, Any], Optional[Tensor]]:
        """The arguments of :class:`NatDecoder`."""
        canvas = build_canvas(slots, lengths, pad_idx=self.symbols.pad, eos_idx=self.symbols.eos)
        if self.latent is not None:
            encoder_out = self.latent.add_to(encoder_out)
        copies = None if self.slot_copy is None else self.slot_copy(encoder_out, lengths, slots.size(1))
        return canvas, encoder_out, copies

    def _best_of(self, states: Tensor, symbols: OutputSymbols) -> tuple[Tensor, Tensor]:
        lprobs = self.decoder.output_layer(states).float().log_softmax(-1)
        best, tokens = symbols.restrict_(lprobs).max(-1)
        return tokens, best


def source_words(encoder_out: dict[str, Any]) -> Tensor:
    """Source lengths [B] without end of sentence."""
    return word_counts(encoder_out["encoder_padding_mask"][0])
