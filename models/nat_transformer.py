"""The one model: encoder, length predictor, decoder over a canvas. Methods are options, presets are names."""

# No `from __future__ import annotations` here: fairseq's dataclass parser needs types, not strings.
import math
from argparse import Namespace
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Dict, Iterator, NamedTuple, Optional, Tuple

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel
from fairseq.models.transformer import TransformerConfig, TransformerEncoderBase
from fairseq.modules.transformer_sentence_encoder import init_bert_params
from omegaconf import II
from torch import Tensor, nn

from nat_plugin.canvas.lengths import build_canvas, scaled_lengths
from nat_plugin.canvas.masking import full_mask, uniform_mask
from nat_plugin.errors import UserError
from nat_plugin.models.length_predictor import LengthPredictor
from nat_plugin.models.nat_decoder import NatDecoder
from nat_plugin.symbols import MASK

# Decoding needs the best token of each slot only: so many logits at once keep a GPU busy and stay in a CPU's cache.
_LOGITS_AT_ONCE = 2**27 if torch.cuda.is_available() else 2**21


class Masking(str, Enum):
    """Which target tokens training hides from the decoder."""

    uniform = "uniform"
    full = "full"


class Initialisation(str, Enum):
    """How the weights begin."""

    bert = "bert"
    xavier = "xavier"


class Positions(str, Enum):
    """Position embeddings."""

    learned = "learned"
    sinusoidal = "sinusoidal"


class ShareEmbeddings(str, Enum):
    """Which embedding matrices are one."""

    all = "all"
    decoder = "decoder"
    none = "none"


@dataclass
class NatTransformerConfig(FairseqDataclass):
    """Every option of the model; the defaults are transformer-base as in Ghazvininejad et al. 2020, §4.1."""

    masking: Masking = field(
        default=Masking.uniform,
        metadata={"help": "what training hides of the target: a uniform number of tokens (CMLM), or all of them"},
    )
    init: Initialisation = field(
        default=Initialisation.bert, metadata={"help": "weights from N(0, .02) as BERT's, or fairseq's own"}
    )
    positions: Positions = field(default=Positions.learned, metadata={"help": "position embeddings"})
    share_embeddings: ShareEmbeddings = field(
        default=ShareEmbeddings.all,
        metadata={"help": "one matrix for source, target and output; for target and output; or three"},
    )
    upsample_scale: float = field(
        default=0.0,
        metadata={"help": "s ≥ 1: slots = round(s × source length), for CTC; 0: the target's length, predicted"},
    )
    max_length_offset: int = field(
        default=256, metadata={"help": "largest difference of target and source length that the length predictor knows"}
    )
    encoder_embed_dim: int = field(default=512, metadata={"help": "encoder width"})
    encoder_ffn_embed_dim: int = field(default=2048, metadata={"help": "encoder feed-forward width"})
    encoder_layers: int = field(default=6, metadata={"help": "encoder layers"})
    encoder_attention_heads: int = field(default=8, metadata={"help": "encoder attention heads"})
    encoder_normalize_before: bool = field(default=False, metadata={"help": "layer norm before each encoder block"})
    decoder_embed_dim: int = field(default=512, metadata={"help": "decoder width"})
    decoder_ffn_embed_dim: int = field(default=2048, metadata={"help": "decoder feed-forward width"})
    decoder_layers: int = field(default=6, metadata={"help": "decoder layers"})
    decoder_attention_heads: int = field(default=8, metadata={"help": "decoder attention heads"})
    decoder_normalize_before: bool = field(default=False, metadata={"help": "layer norm before each decoder block"})
    dropout: float = field(default=0.3, metadata={"help": "dropout probability"})
    attention_dropout: float = field(default=0.0, metadata={"help": "dropout of the attention weights"})
    activation_dropout: float = field(default=0.0, metadata={"help": "dropout after the feed-forward activation"})
    activation_fn: str = field(default="relu", metadata={"help": "feed-forward activation, as fairseq names it"})
    max_source_positions: int = II("task.max_source_positions")
    max_target_positions: int = II("task.max_target_positions")
    seed: int = II("common.seed")


class NatOutput(NamedTuple):
    """What a training pass returns; all tensors.

    Attributes:
        logits: [B, m, V], columns beyond a sentence's length mean nothing.
        masked: [B, m] bool, the slots that the decoder did not see.
        lengths: [B] int64, slots of each sentence.
        length_logits: [B, C]; None where the source's length gives the canvas's.
        length_classes: [B] int64, the true class; None likewise.
    """

    logits: Tensor
    masked: Tensor
    lengths: Tensor
    length_logits: Optional[Tensor]
    length_classes: Optional[Tensor]


class NatTransformerModel(BaseFairseqModel):
    """A non-autoregressive transformer (no loss inside: criterions bring their own alignment)."""

    def __init__(
        self,
        cfg: NatTransformerConfig,
        encoder: TransformerEncoderBase,
        decoder: NatDecoder,
        symbols: "CanvasSymbols",
    ) -> None:
        super().__init__()
        self.cfg = cfg
        self.encoder = encoder
        self.decoder = decoder
        if not self.upsamples:  # pytorch_ddp does not like parameters that nothing uses
            self.length_predictor = LengthPredictor(cfg.encoder_embed_dim, cfg.max_length_offset)
        self.symbols = symbols
        self.num_updates = 0
        if cfg.init == "bert":
            self.apply(init_bert_params)

    @classmethod
    def build_model(cls, cfg: NatTransformerConfig, task: Any) -> "NatTransformerModel":
        if not hasattr(task, "mask_idx"):
            raise UserError(
                f"--task {task.cfg._name} cannot use {cfg._name}, a non-autoregressive model: use --task "
                "nat_translation."
            )
        _check_canvas(cfg)
        for side in ("encoder", "decoder"):
            dim, heads = getattr(cfg, f"{side}_embed_dim"), getattr(cfg, f"{side}_attention_heads")
            if heads < 1 or dim % heads:
                raise UserError(f"--{side}-attention-heads {heads} must divide --{side}-embed-dim, which is {dim}.")
        transformer = _transformer_config(cfg)
        encoder_embedding, decoder_embedding = _embeddings(cfg, task.source_dictionary, task.target_dictionary)
        encoder = TransformerEncoderBase(transformer, task.source_dictionary, encoder_embedding)
        decoder = NatDecoder(transformer, task.target_dictionary, decoder_embedding)
        return cls(cfg, encoder, decoder, CanvasSymbols.of(task.target_dictionary))

    def set_num_updates(self, num_updates: int) -> None:
        super().set_num_updates(num_updates)
        self.num_updates = num_updates

    def max_positions(self) -> Tuple[int, int]:
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
        """As fairseq's, but never with its shared-key trick for beams: it would mix up the sentences of a batch."""
        self.make_generation_fast_(beamable_mm_beam_size=None, need_attn=False)

    def forward(
        self,
        src_tokens: Tensor,
        src_lengths: Tensor,
        targets: Tensor,
        target_lengths: Tensor,
        sentence_ids: Tensor,
    ) -> NatOutput:
        """One training pass over a canvas of gold length, or of s × source length.

        Args:
            src_tokens: [B, S], with end of sentence.
            src_lengths: [B].
            targets: [B, n], without end of sentence; padding beyond ``target_lengths``. An upsampled canvas shows
                nothing of them.
            target_lengths: [B].
            sentence_ids: [B], for reproducible masks.
        """
        if self.upsamples:
            return self._upsampled_pass(self.encode(src_tokens, src_lengths))
        width = targets.size(1)
        if self.cfg.masking == "uniform":
            update = self.num_updates if self.training else 0
            masked = uniform_mask(target_lengths, width, seed=self.cfg.seed, update=update, sentence_ids=sentence_ids)
        else:
            masked = full_mask(target_lengths, width)
        slots = targets.masked_fill(masked, self.symbols.mask)
        encoder_out = self.encode(src_tokens, src_lengths)
        return NatOutput(
            logits=self.decode_canvas(slots, target_lengths, encoder_out),
            masked=masked,
            lengths=target_lengths,
            length_logits=self.length_logits(encoder_out),
            length_classes=self.length_predictor.classes(target_lengths, _real_lengths(encoder_out)),
        )

    def _upsampled_pass(self, encoder_out: Dict[str, Any]) -> NatOutput:
        lengths = self.upsampled_lengths(encoder_out)
        masked = full_mask(lengths, int(lengths.max()))
        slots = torch.full(masked.shape, self.symbols.mask, device=masked.device)
        return NatOutput(self.decode_canvas(slots, lengths, encoder_out), masked, lengths, None, None)

    def encode(self, src_tokens: Tensor, src_lengths: Tensor) -> Dict[str, Any]:
        """The encoder's output, in fairseq's form."""
        encoder_out: Dict[str, Any] = self.encoder(src_tokens, src_lengths=src_lengths)
        return encoder_out

    def length_logits(self, encoder_out: Dict[str, Any]) -> Tensor:
        """Logits over length classes: [B, C]."""
        logits: Tensor = self.length_predictor(encoder_out["encoder_out"][0], encoder_out["encoder_padding_mask"][0])
        return logits

    def candidate_lengths(self, encoder_out: Dict[str, Any], count: int) -> Tensor:
        """The ``count`` most probable target lengths of each sentence, best first: [B, count] int64."""
        lengths, _ = self.length_predictor.most_probable(
            self.length_logits(encoder_out), _real_lengths(encoder_out), count, self.max_slots
        )
        return lengths

    def upsampled_lengths(self, encoder_out: Dict[str, Any]) -> Tensor:
        """Slots of each sentence, round(s × source length without end of sentence): [B] int64."""
        return scaled_lengths(_real_lengths(encoder_out), self.cfg.upsample_scale, self.max_slots)

    def decode_canvas(self, slots: Tensor, lengths: Tensor, encoder_out: Dict[str, Any]) -> Tensor:
        """Logits [B, m, V] of a canvas whose slots hold the tokens ``slots`` [B, m], ``lengths`` [B] of them real."""
        logits: Tensor = self.decoder(self._canvas(slots, lengths), encoder_out)
        return logits

    def fill_slots(
        self, slots: Tensor, lengths: Tensor, encoder_out: Dict[str, Any], excluded: Tensor
    ) -> Tuple[Tensor, Tensor]:
        """The most probable token of each slot and its log-probability, without holding all logits at once.

        Args:
            slots, lengths, encoder_out: as in :meth:`decode_canvas`.
            excluded: [K] int64, tokens that may not be chosen; they still count in the normaliser.

        Returns:
            [B, m] int64 and [B, m] float32.
        """
        states = self.decoder.slot_features(self._canvas(slots, lengths), encoder_out).flatten(0, 1)
        rows = max(1, _LOGITS_AT_ONCE // len(self.decoder.dictionary))
        chunks = [self._best_of(chunk, excluded) for chunk in states.split(rows)]
        tokens, lprobs = (torch.cat(parts).view_as(slots) for parts in zip(*chunks, strict=True))
        return tokens, lprobs

    def top_slots(
        self, slots: Tensor, lengths: Tensor, encoder_out: Dict[str, Any], excluded: Tensor, count: int
    ) -> Iterator[Tuple[Tensor, Tensor]]:
        """The ``count`` most probable tokens of each slot and their log-probabilities, some sentences at a time.

        Args:
            slots, lengths, encoder_out, excluded: as in :meth:`fill_slots`.

        Yields:
            [b, m, count] float32 (-inf where fewer tokens may be chosen) and [b, m, count] int64, for the next b
            sentences; a caller can work on them elsewhere while the following ones are computed.
        """
        states = self.decoder.slot_features(self._canvas(slots, lengths), encoder_out)
        sentences = max(1, _LOGITS_AT_ONCE // (len(self.decoder.dictionary) * slots.size(1)))
        for chunk in states.split(sentences):
            logits = self.decoder.output_layer(chunk).float()
            normalizers = logits.logsumexp(-1, keepdim=True)
            best, tokens = logits.index_fill_(-1, excluded, float("-inf")).topk(count, -1)
            yield best - normalizers, tokens

    def _canvas(self, slots: Tensor, lengths: Tensor) -> Tensor:
        return build_canvas(slots, lengths, pad_idx=self.symbols.pad, eos_idx=self.symbols.eos)

    def _best_of(self, states: Tensor, excluded: Tensor) -> Tuple[Tensor, Tensor]:
        logits = self.decoder.output_layer(states).float()
        normalizers = logits.logsumexp(-1)
        best, tokens = logits.index_fill_(1, excluded, float("-inf")).max(-1)
        return tokens, best - normalizers


class CanvasSymbols(NamedTuple):
    """Ids of the symbols that a canvas is built from."""

    pad: int
    eos: int
    mask: int

    @classmethod
    def of(cls, dictionary: Any) -> "CanvasSymbols":
        return cls(dictionary.pad(), dictionary.eos(), dictionary.index(MASK))


def _check_canvas(cfg: NatTransformerConfig) -> None:
    scale = cfg.upsample_scale
    if scale != 0 and not 1 <= scale < math.inf:
        raise UserError(f"--upsample-scale must be at least 1, or 0 for a predicted length, not {scale}.")
    if scale and cfg.masking != "full":
        raise UserError("--upsample-scale shows the decoder no target tokens: add --masking full.")


def _real_lengths(encoder_out: Dict[str, Any]) -> Tensor:
    """Source lengths [B] without end of sentence."""
    return (~encoder_out["encoder_padding_mask"][0]).sum(1) - 1


def _transformer_config(cfg: NatTransformerConfig) -> TransformerConfig:
    learned = cfg.positions == "learned"
    flat = (
        {key: getattr(cfg, key) for key in cfg.__dataclass_fields__} if not hasattr(cfg, "items") else dict(cfg.items())
    )
    return TransformerConfig.from_namespace(
        Namespace(
            **flat,
            encoder_learned_pos=learned,
            decoder_learned_pos=learned,
            share_decoder_input_output_embed=cfg.share_embeddings != "none",
            decoder_output_dim=cfg.decoder_embed_dim,
            decoder_input_dim=cfg.decoder_embed_dim,
        )
    )


def _embeddings(cfg: NatTransformerConfig, source: Any, target: Any) -> Tuple[nn.Embedding, nn.Embedding]:
    decoder = _embedding(len(target), cfg.decoder_embed_dim, target.pad())
    if cfg.share_embeddings != "all":
        return _embedding(len(source), cfg.encoder_embed_dim, source.pad()), decoder
    if source != target:
        raise UserError(
            "--share-embeddings all needs one joint dictionary, but source and target differ: use "
            "--share-embeddings decoder, or prepare the data with a joint dictionary."
        )
    if cfg.encoder_embed_dim != cfg.decoder_embed_dim:
        raise UserError(
            f"--share-embeddings all needs --encoder-embed-dim ({cfg.encoder_embed_dim}) and --decoder-embed-dim "
            f"({cfg.decoder_embed_dim}) to be equal."
        )
    return decoder, decoder


def _embedding(rows: int, dim: int, pad: int) -> nn.Embedding:
    embedding = nn.Embedding(rows, dim, padding_idx=pad)
    nn.init.normal_(embedding.weight, mean=0, std=dim**-0.5)
    with torch.no_grad():
        embedding.weight[pad].zero_()
    return embedding
