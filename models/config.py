"""Every option of the model, and what of them fits together."""

# No `from __future__ import annotations` here: fairseq's dataclass parser needs types, not strings.
import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from fairseq.dataclass import FairseqDataclass
from omegaconf import II

from nat_plugin.canvas.glancing import Revealing
from nat_plugin.canvas.schedule import Schedule
from nat_plugin.errors import UserError
from nat_plugin.models.halves import check_halves
from nat_plugin.models.input_predictor import check_input_predictor


class Masking(str, Enum):
    """Which target tokens training hides from the decoder."""

    uniform = "uniform"
    full = "full"
    fixed_ratio = "fixed_ratio"
    glancing = "glancing"


class GlancingDistance(str, Enum):
    """How far a first prediction is from its target."""

    hamming = "hamming"
    levenshtein = "levenshtein"


class RevealedCount(str, Enum):
    """From an expected number to a number."""

    floor = "floor"
    poisson = "poisson"


class RevealedChoice(str, Enum):
    """Which slots are revealed."""

    uniform = "uniform"
    p_ref = "p_ref"
    one_minus_p_ref = "one_minus_p_ref"


class Copying(str, Enum):
    """What fills a masked slot."""

    none = "none"
    uniform = "uniform"
    soft = "soft"
    hard = "hard"


class MaskFill(str, Enum):
    """What stands in the decoder's masked slots in training."""

    mask = "mask"
    bert = "bert"


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
        metadata={
            "help": "what training hides of the target: a uniform number of tokens (CMLM), all, all but a fixed ratio, "
            "or all but the more, the worse they are predicted in a first pass (glancing)"
        },
    )
    glancing_ratio: str = field(
        default="0.5",
        metadata={
            "help": "--masking glancing reveals ratio × distance of the tokens, fixed_ratio ratio × all; .5, or "
            ".5:.3@200k for a straight line within 200,000 updates"
        },
    )
    glancing_distance: GlancingDistance = field(
        default=GlancingDistance.hamming,
        metadata={"help": "--masking glancing: how far the first prediction is from its target"},
    )
    glancing_count: RevealedCount = field(
        default=RevealedCount.floor,
        metadata={
            "help": "glancing or fixed_ratio: ratio × distance, rounded down, are revealed, or as many as a Poisson "
            "variable of that mean says"
        },
    )
    glancing_choice: RevealedChoice = field(
        default=RevealedChoice.uniform,
        metadata={
            "help": "glancing or fixed_ratio: any tokens are revealed, or by their probability p in the first pass, or "
            "by 1 - p"
        },
    )
    decoder_mask_span: int = field(
        default=1,
        metadata={"help": "--masking uniform hides sets of N neighbouring tokens (JM-NAT: 2); their total is uniform"},
    )
    decoder_mask_fill: MaskFill = field(
        default=MaskFill.mask,
        metadata={
            "help": "masked slots hold <mask>; or, bert, of ten slots eight <mask>, one a random word, and one what "
            "stood there"
        },
    )
    encoder_mask_prob: float = field(
        default=0.0,
        metadata={
            "help": "share of source tokens that the encoder is to predict in training, filled as by "
            "--decoder-mask-fill bert (JM-NAT: .1); 0: none"
        },
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
    copying: Copying = field(
        default=Copying.none,
        metadata={
            "help": "what fills a masked slot: <mask>, a uniform copy of the encoder's states, SoftCopy, or a uniform "
            "copy of the source's embeddings (hard)"
        },
    )
    soft_copy_temperature: float = field(
        default=0.5, metadata={"help": "SoftCopy's τ in slots, where it begins or, if fixed, stays"}
    )
    fixed_soft_copy_temperature: bool = field(default=False, metadata={"help": "do not learn SoftCopy's τ"})
    latent_dim: int = field(
        default=0, metadata={"help": "D of a latent variable for each source position (VAE), 8 in the paper; 0: none"}
    )
    latent_layers: int = field(default=3, metadata={"help": "layers of the posterior's encoder, and of its decoder"})
    free_bits: str = field(
        default="1.0:0.0@150k",
        metadata={"help": "nats below which a position's KL costs no less in training; a schedule as --glancing-ratio"},
    )
    input_predictor: bool = field(
        default=False,
        metadata={
            "help": "also learn which slots training masks, from the source alone, for --input-sampling (Huang et al. "
            "2022, E.6)"
        },
    )
    load_encoder_from: str = field(
        default="",
        metadata={"help": "a training that begins takes encoder and length predictor of this checkpoint"},
    )
    load_decoder_from: str = field(
        default="", metadata={"help": "a training that begins takes the decoder of this checkpoint"}
    )
    freeze_encoder: bool = field(
        default=False, metadata={"help": "do not train the encoder; needs embeddings that are not shared by all"}
    )
    freeze_decoder: bool = field(
        default=False, metadata={"help": "do not train the decoder; needs embeddings that are not shared by all"}
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
    # no bool: a preset that has it on would turn the flag into "off"
    positional_attention: int = field(
        default=0,
        metadata={
            "argparse_const": 1,
            "help": "attention by positions after self-attention in each decoder layer (Gu et al. 2018); 0: none",
        },
    )
    dropout: float = field(default=0.3, metadata={"help": "dropout probability"})
    attention_dropout: float = field(default=0.0, metadata={"help": "dropout of the attention weights"})
    activation_dropout: float = field(default=0.0, metadata={"help": "dropout after the feed-forward activation"})
    activation_fn: str = field(default="relu", metadata={"help": "feed-forward activation, as fairseq names it"})
    max_source_positions: int = II("task.max_source_positions")
    max_target_positions: int = II("task.max_target_positions")
    seed: int = II("common.seed")


def check_config(cfg: Any) -> None:
    """What can be known to be wrong before anything is built.

    Args:
        cfg: a :class:`NatTransformerConfig`, or the OmegaConf node made of one.

    Raises:
        UserError: a value is out of range, or two do not fit together.
    """
    scale = cfg.upsample_scale
    if scale != 0 and not 1 <= scale < math.inf:
        raise UserError(f"--upsample-scale must be at least 1, or 0 for a predicted length, not {scale}.")
    for side in ("encoder", "decoder"):
        dim, heads = getattr(cfg, f"{side}_embed_dim"), getattr(cfg, f"{side}_attention_heads")
        if heads < 1 or dim % heads:
            raise UserError(f"--{side}-attention-heads {heads} must divide --{side}-embed-dim, which is {dim}.")
    if cfg.positional_attention not in (0, 1):
        raise UserError(f"--positional-attention must be 1 or 0, not {cfg.positional_attention}.")
    _check_copying(cfg)
    _check_masks(cfg)
    check_halves(cfg)
    check_input_predictor(cfg)
    revealing(cfg)
    free_bits(cfg)
    if cfg.latent_dim < 0:
        raise UserError(f"--latent-dim must be 1 or more, or 0 for no latent variable, not {cfg.latent_dim}.")
    if cfg.latent_layers < 1:
        raise UserError(f"--latent-layers must be at least 1, not {cfg.latent_layers}.")


def revealing(cfg: Any) -> Revealing:
    """What training reveals, from ``--masking`` and ``--glancing-…``.

    Raises:
        UserError: the ratio is no schedule, or not in [0, 1].
    """
    return Revealing(
        masking=Masking(cfg.masking).value,
        ratio=_schedule("--glancing-ratio", cfg.glancing_ratio, 1.0),
        distance=GlancingDistance(cfg.glancing_distance).value,
        count=RevealedCount(cfg.glancing_count).value,
        choice=RevealedChoice(cfg.glancing_choice).value,
        span=cfg.decoder_mask_span,
    )


def free_bits(cfg: Any) -> Schedule:
    """``--free-bits``, in nats.

    Raises:
        UserError: it is no schedule.
    """
    return _schedule("--free-bits", cfg.free_bits)


def _schedule(flag: str, text: str, most: float = math.inf) -> Schedule:
    try:
        schedule = Schedule.parse(str(text))
    except ValueError as error:
        raise UserError(f"{flag} {error}.") from error
    if not schedule.within(0.0, most):
        raise UserError(f"{flag} {text} must stay between 0 and {most:g}.")
    return schedule


def _check_masks(cfg: Any) -> None:
    if not 0 <= cfg.encoder_mask_prob <= 1:
        raise UserError(
            f"--encoder-mask-prob is a share of the source tokens, 0 to 1, not {cfg.encoder_mask_prob}: JM-NAT has .1."
        )
    if cfg.decoder_mask_span < 1:
        raise UserError(
            f"--decoder-mask-span must be at least 1, which masks single tokens, not {cfg.decoder_mask_span}."
        )
    masking = Masking(cfg.masking).value
    if cfg.decoder_mask_span > 1 and masking != "uniform":
        raise UserError(
            f"--decoder-mask-span {cfg.decoder_mask_span} has no meaning with --masking {masking}: add --masking "
            "uniform, or drop it."
        )
    if cfg.decoder_mask_fill == "bert" and masking == "full":
        raise UserError(
            "--decoder-mask-fill bert would show tokens of a target that --masking full hides: add --masking uniform, "
            "or drop it."
        )


def _check_copying(cfg: Any) -> None:
    if cfg.copying != "none" and cfg.encoder_embed_dim != cfg.decoder_embed_dim:
        copied = "source embeddings" if cfg.copying == "hard" else "encoder states"
        raise UserError(
            f"--copying {Copying(cfg.copying).value} puts {copied} into decoder slots: --encoder-embed-dim "
            f"({cfg.encoder_embed_dim}) and --decoder-embed-dim ({cfg.decoder_embed_dim}) must be equal."
        )
    if not 0 < cfg.soft_copy_temperature < math.inf:
        raise UserError(f"--soft-copy-temperature must be above 0 and finite, not {cfg.soft_copy_temperature}.")
