"""The one model: encoder, length predictor, decoder over a canvas. Methods are options, presets are names."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, Optional

from fairseq.modules.transformer_sentence_encoder import init_bert_params
from torch import Tensor

from nat_plugin.canvas.lengths import build_canvas
from nat_plugin.canvas.random import Stream
from nat_plugin.errors import UserError
from nat_plugin.models.building import embeddings, transformer_config
from nat_plugin.models.config import NatTransformerConfig, check_config, free_bits, revealing
from nat_plugin.models.encoder_masking import EncoderMasking, EncoderPrediction
from nat_plugin.models.halves import freeze_halves, load_halves
from nat_plugin.models.input_predictor import InputPredictor
from nat_plugin.models.latent import LatentModel, LatentTerms
from nat_plugin.models.length_predictor import LengthPredictor
from nat_plugin.models.nat_decoder import NatDecoder
from nat_plugin.models.nat_encoder import NatEncoder
from nat_plugin.models.slot_copy import SlotCopy
from nat_plugin.models.slot_model import CanvasSymbols, SlotModel, source_words
from nat_plugin.models.target_choice import ChosenTargets, TargetCandidates, choose_targets
from nat_plugin.models.training_canvas import CanvasMaker, ProxyTargets, SlotProxies, TrainingCanvas
from nat_plugin.models.word_noise import WordNoise


class NatOutput(NamedTuple):
    """What a training pass returns; all tensors.

    Attributes:
        logits: [B, m, V], columns beyond a sentence's length mean nothing.
        masked: [B, m] bool, the slots that are to be predicted, whatever the decoder read in them.
        lengths: [B] int64, slots of each sentence.
        proxy, first_pass_hits: see :class:`~nat_plugin.models.training_canvas.TrainingCanvas`.
        length_logits: [B, C]; None where the source's length gives the canvas's.
        length_classes: [B] int64, the true class; None likewise.
        latent: the latent variable's costs; None where there is none.
        encoder_prediction: what the encoder says of its masked tokens; None where none are.
        input_logits: [B, m], of "this slot is masked", from the source alone; None where nothing predicts it.
        chosen: the targets that all of this is about, where there were several; None otherwise.
    """

    logits: Tensor
    masked: Tensor
    lengths: Tensor
    proxy: Optional[Tensor] = None
    first_pass_hits: Optional[Tensor] = None
    length_logits: Optional[Tensor] = None
    length_classes: Optional[Tensor] = None
    latent: Optional[LatentTerms] = None
    encoder_prediction: Optional[EncoderPrediction] = None
    input_logits: Optional[Tensor] = None
    chosen: Optional[ChosenTargets] = None


class NatTransformerModel(SlotModel):
    """A non-autoregressive transformer (no loss inside: criterions bring their own alignment)."""

    def __init__(
        self,
        cfg: NatTransformerConfig,
        encoder: NatEncoder,
        decoder: NatDecoder,
        latent: Optional[LatentModel],
        encoder_masking: Optional[EncoderMasking],
        noise: Optional[WordNoise],
        symbols: CanvasSymbols,
    ) -> None:
        super().__init__()
        self.cfg = cfg
        self.encoder = encoder
        self.decoder = decoder
        self.latent = latent
        self.encoder_masking = encoder_masking
        self.decoder_noise = noise
        self.free_bits = free_bits(cfg)
        if not self.upsamples:  # pytorch_ddp does not like parameters that nothing uses
            self.length_predictor = LengthPredictor(cfg.encoder_embed_dim, cfg.max_length_offset)
        self.slot_copy = SlotCopy(cfg) if cfg.copying != "none" else None
        self.input_predictor = InputPredictor(cfg.decoder_embed_dim) if cfg.input_predictor else None
        self.symbols = symbols
        self.canvas_maker = CanvasMaker(revealing(cfg), not self.upsamples, symbols.mask, cfg.seed, noise)
        self.num_updates = 0
        if cfg.init == "bert":
            self.apply(init_bert_params)
        freeze_halves(self, cfg)

    @classmethod
    def build_model(cls, cfg: NatTransformerConfig, task: Any) -> NatTransformerModel:
        if not hasattr(task, "mask_idx"):
            raise UserError(
                f"--task {task.cfg._name} cannot use {cfg._name}, a non-autoregressive model: use --task "
                "nat_translation."
            )
        check_config(cfg)
        transformer = transformer_config(cfg)
        dictionaries = task.source_dictionary, task.target_dictionary
        encoder_embedding, decoder_embedding = embeddings(cfg, *dictionaries)
        masks_source = cfg.encoder_mask_prob > 0
        encoder = NatEncoder(
            transformer,
            dictionaries[0],
            encoder_embedding,
            own_prediction_layer=masks_source and cfg.share_embeddings == "none",
        )
        decoder = NatDecoder(
            transformer, dictionaries[1], decoder_embedding, positional_attention=bool(cfg.positional_attention)
        )
        latent = LatentModel(cfg, *dictionaries, encoder_embedding, decoder_embedding) if cfg.latent_dim else None
        encoder_masking = EncoderMasking(cfg, dictionaries[0]) if masks_source else None
        noise = WordNoise(dictionaries[1], cfg.seed, Stream.TARGET_NOISE) if cfg.decoder_mask_fill == "bert" else None
        return cls(cfg, encoder, decoder, latent, encoder_masking, noise, CanvasSymbols.of(dictionaries[1]))

    def begin_training(self, task: Any, restored: str) -> None:
        """Called before the first update of a process; ``restored`` is the checkpoint that it goes on from, or ""."""
        load_halves(self, self.cfg, task, restored)

    def set_num_updates(self, num_updates: int) -> None:
        super().set_num_updates(num_updates)
        self.num_updates = num_updates

    def forward(
        self,
        src_tokens: Tensor,
        src_lengths: Tensor,
        targets: Tensor,
        target_lengths: Tensor,
        sentence_ids: Tensor,
        proxy_targets: Optional[ProxyTargets] = None,
        candidates: Optional[dict[str, Any]] = None,
    ) -> NatOutput:
        """One training pass over a canvas of gold length, or of s × source length; a second decoder pass for glancing.

        Args:
            src_tokens: [B, S], with end of sentence.
            src_lengths: [B].
            targets: [B, n], without end of sentence; padding beyond ``target_lengths``.
            target_lengths: [B].
            sentence_ids: [B], for reproducible masks.
            proxy_targets: what the slots of a canvas are held against, from the criterion, which
                :attr:`CanvasMaker.has_first_pass` asks; None: each slot's own target.
            candidates: several targets of each sentence, the fields of :class:`TargetCandidates`; one of them takes the
                place of ``targets``.
        """
        encoder_out, encoder_prediction = self._encode_for_training(src_tokens, src_lengths, sentence_ids)
        chosen = None
        if candidates is not None:
            chosen = choose_targets(
                self, TargetCandidates(**candidates), encoder_out, keep_pass=self._scoring_is_a_first_pass
            )
            targets, target_lengths = chosen.tokens, chosen.lengths
        latent = None
        if self.latent is not None:
            # Validation has the noise of update 0 and no free bits: its loss can be compared from epoch to epoch.
            encoder_out, latent = self.latent.infer(
                encoder_out,
                src_tokens,
                build_canvas(targets, target_lengths, pad_idx=self.symbols.pad, eos_idx=self.symbols.eos),
                free_bits=self.free_bits.at(self.num_updates) if self.training else 0.0,
                update=self.num_updates if self.training else 0,
                sentence_ids=sentence_ids,
            )
        lengths = self.upsampled_lengths(encoder_out) if self.upsamples else target_lengths
        proxies = None if proxy_targets is None else partial(proxy_targets, targets, target_lengths)
        canvas = self._training_canvas(targets, lengths, encoder_out, sentence_ids, proxies, chosen)
        output = NatOutput(
            logits=self.decode_canvas(canvas.slots, lengths, encoder_out),
            masked=canvas.masked,
            lengths=lengths,
            proxy=canvas.proxy,
            first_pass_hits=canvas.first_pass_hits,
            latent=latent,
            encoder_prediction=encoder_prediction,
            input_logits=self._predicted_inputs(lengths, targets.size(1), encoder_out),
            chosen=chosen,
        )
        if self.upsamples:
            return output
        return output._replace(
            length_logits=self.length_logits(encoder_out),
            length_classes=self.length_predictor.classes(target_lengths, source_words(encoder_out)),
        )

    def _encode_for_training(
        self, src_tokens: Tensor, src_lengths: Tensor, sentence_ids: Tensor
    ) -> tuple[dict[str, Any], Optional[EncoderPrediction]]:
        """The encoder's output, and what it says of masked tokens; validation masks none, as decoding does."""
        if self.encoder_masking is None or not self.training:
            return self.encode(src_tokens, src_lengths), None
        source = self.encoder_masking(src_tokens, self.num_updates, sentence_ids)
        encoder_out = self.encode(source.tokens, src_lengths)
        return encoder_out, self.encoder.predict(encoder_out, src_tokens, source.chosen)

    @property
    def _scoring_is_a_first_pass(self) -> bool:
        """Whether the pass that scores candidate targets is the first pass, on the chosen one's canvas.

        Dropout of attention weights has noise of its own in each pass, and the posterior's z is not the prior's.
        """
        return self.canvas_maker.has_first_pass and not self.cfg.attention_dropout and self.latent is None

    def _training_canvas(
        self,
        targets: Tensor,
        lengths: Tensor,
        encoder_out: dict[str, Any],
        sentence_ids: Tensor,
        proxies: Optional[SlotProxies],
        chosen: Optional[ChosenTargets],
    ) -> TrainingCanvas:
        """What the decoder sees; arguments as in :meth:`forward`.

        Validation has one pass: what a first pass would reveal stays masked, as in decoding, and masks that need none
        are those of update 0.
        """
        maker = self.canvas_maker
        width = int(lengths.max()) if self.upsamples else targets.size(1)
        if not maker.has_first_pass and not self.upsamples:
            update = self.num_updates if self.training else 0
            return maker.of_targets(targets, lengths, update, sentence_ids, noisy=self.training)
        if not maker.has_first_pass or not self.training:
            return maker.hidden(lengths, width)
        scored = None if chosen is None else chosen.first_pass
        if scored is not None and proxies is None:
            first = scored.against_targets(targets)
        else:
            first = maker.first_pass(
                lambda slots: (
                    self.decode_canvas(slots, lengths, encoder_out)
                    if scored is None
                    else self.decoder.output_layer(scored.states)
                ),
                lengths,
                width,
                proxies or (lambda *_: targets),
            )
        return maker.after_first_pass(first, lengths, self.num_updates, sentence_ids)

    def _predicted_inputs(self, lengths: Tensor, width: int, encoder_out: dict[str, Any]) -> Optional[Tensor]:
        """:meth:`input_logits` where the canvas has masks to compare them with: validation does not glance."""
        if self.input_predictor is None or (self.canvas_maker.has_first_pass and not self.training):
            return None
        return self.input_logits(lengths, width, encoder_out)
