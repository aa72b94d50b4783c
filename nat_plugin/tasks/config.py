"""The options of the task ``nat_translation``."""

# No `from __future__ import annotations` here: fairseq's dataclass parser needs types, not strings.
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

from fairseq.tasks.translation import TranslationConfig

from nat_plugin.decoding.options import DecodingOptions


class CtcSearchProgram(str, Enum):
    """What searches the slots of a CTC model."""

    flashlight = "flashlight"
    torch = "torch"


class LengthBonusForm(str, Enum):
    """What β is multiplied with."""

    log = "log"
    linear = "linear"


class CandidateCost(str, Enum):
    """What a candidate target costs the model."""

    sentence = "sentence"
    token = "token"


@dataclass
class NatTranslationConfig(TranslationConfig):
    """fairseq's translation options, and how a canvas becomes a sentence."""

    left_pad_source: bool = field(default=False, metadata={"help": "pad the source on the left"})
    length_multiplier: float = field(
        default=1.0, metadata={"help": "λ: slots = round(λ × predicted length); tuned on the validation set"}
    )
    length_candidates: int = field(
        default=1, metadata={"help": "decode with the k most probable lengths, keep the best by mean log-probability"}
    )
    iterations: int = field(
        default=1,
        metadata={"help": "decoder passes in all: 1 is one pass, more is mask-predict (4 or 10 in the papers)"},
    )
    stop_when_unchanged: bool = field(
        default=False, metadata={"help": "mask-predict: a sentence that an iteration left as it was is finished"}
    )
    remask_neighbours: bool = field(
        default=False,
        metadata={"help": "mask-predict: the least probable slots are masked again together with their neighbours"},
    )
    deduplicate: bool = field(
        default=False, metadata={"help": "merge equal neighbouring tokens of the finished sentence into one"}
    )
    blank_penalty: float = field(
        default=0.0,
        metadata={
            "help": "nats taken from the blank's log-probability in every slot (CTC, AXE): translations get longer; "
            "tuned on the validation set"
        },
    )
    reranker: str = field(
        default="",
        metadata={"help": "checkpoint of an autoregressive teacher that chooses among the candidates (NPD)"},
    )
    ctc_beam: int = field(
        default=0,
        metadata={"help": "CTC: beam search over the slots with so many hypotheses (20 in the paper); 0: greedy"},
    )
    ctc_beam_tokens: int = field(
        default=20, metadata={"help": "CTC beam search: how many tokens of each slot are tried, its most probable ones"}
    )
    ctc_candidates: int = field(
        default=0,
        metadata={"help": "CTC beam search: the best so many of each search are candidates; 0: all of its beam"},
    )
    ctc_search: CtcSearchProgram = field(
        default=CtcSearchProgram.flashlight,
        metadata={"help": "CTC beam search: in C++ on the processor, or whole batches on any device with β inside"},
    )
    ctc_workers: int = field(
        default=1, metadata={"help": "CTC beam search: processes that search while the model goes on (flashlight)"}
    )
    ngram_lm_path: str = field(
        default="", metadata={"help": "CTC beam search: n-gram language model of target subwords (ARPA, or KenLM's)"}
    )
    ngram_lm_weight: float = field(
        default=0.0, metadata={"help": "α of log p(y|x) + α·log p_LM(y) + β·log|y|; tuned on the validation set"}
    )
    token_bonus: float = field(default=0.0, metadata={"help": "β of the same; tuned on the validation set"})
    length_bonus_form: LengthBonusForm = field(
        default=LengthBonusForm.log, metadata={"help": "what β is multiplied with: log|y| or, linear, |y|"}
    )
    latent_samples: int = field(
        default=1,
        metadata={"help": "decode with k values of the latent variable: its prior mean, and k-1 draws around it"},
    )
    latent_temperature: float = field(
        default=0.1, metadata={"help": "standard deviation of those draws, in that of the prior"}
    )
    input_sampling: bool = field(
        default=False,
        metadata={"help": "reveal slots that the input predictor draws before the pass (Huang et al. 2022)"},
    )
    vanilla_nat: str = field(
        default="",
        metadata={"help": "--input-sampling: checkpoint of the vanilla NAT whose best tokens are revealed"},
    )
    input_sampling_seed: int = field(default=1, metadata={"help": "--input-sampling: seed of the draws"})
    target_candidates: str = field(
        default="",
        metadata={
            "help": "Dynamic KD: further binarised data folders DIR:DIR:…, whose training targets are candidates "
            "beside that of the data themselves, which is the last one"
        },
    )
    candidate_weights: str = field(
        default="",
        metadata={"help": "γ, one a candidate: .7,.6,1.3,1.5,2.3; default all 1 (scripts/tune_candidate_weights.py)"},
    )
    candidate_bleu_factor: float = field(
        default=0.2,
        metadata={"help": "β: the chosen target T has the least L̂_NAT(T) - β·Σγ·BLEU(candidate, T); 0: without"},
    )
    candidate_cost: CandidateCost = field(
        default=CandidateCost.sentence,
        metadata={"help": "L̂_NAT of a candidate, in nats: of the sentence, or its mean over tokens"},
    )
    candidate_cache: str = field(
        default="", metadata={"help": "folder for the BLEU between candidates (default: that of the data)"}
    )


def decoding_options(cfg: Any) -> DecodingOptions:
    """The decoding options of a task configuration."""
    shared = {entry.name for entry in fields(NatTranslationConfig)} & {entry.name for entry in fields(DecodingOptions)}
    values = {name: getattr(cfg, name) for name in shared}
    return DecodingOptions(
        **{name: value.value if isinstance(value, Enum) else value for name, value in values.items()}
    )
