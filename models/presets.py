"""Named presets: a dataclass with other defaults, and a model class of its own, so that the CLI and Hydra both know it.

(``register_model_architecture`` presets work on the command line only: Hydra ignores them silently.)
"""

# No `from __future__ import annotations` here: fairseq's dataclass parser needs types, not strings.
from dataclasses import field, make_dataclass
from typing import Any, Dict

from nat_plugin.models.config import (
    Copying,
    GlancingDistance,
    MaskFill,
    Masking,
    NatTransformerConfig,
    RevealedCount,
)
from nat_plugin.models.lazy_registration import register_lazily
from nat_plugin.models.nat_transformer import NatTransformerModel


def _size(embed_dim: int, ffn_embed_dim: int, layers: int, heads: int, dropout: float) -> Dict[str, Any]:
    sides = ("encoder", "decoder")
    return {
        **{f"{side}_embed_dim": embed_dim for side in sides},
        **{f"{side}_ffn_embed_dim": ffn_embed_dim for side in sides},
        **{f"{side}_layers": layers for side in sides},
        **{f"{side}_attention_heads": heads for side in sides},
        "dropout": dropout,
    }


# Huang et al. 2022, Table 10; base is also Ghazvininejad et al. 2020, §4.1
SIZES: Dict[str, Dict[str, Any]] = {
    "tiny": _size(128, 512, 3, 4, 0.1),
    "small": _size(256, 1024, 3, 4, 0.1),
    "base": _size(512, 2048, 6, 8, 0.3),
    "big": _size(1024, 4096, 6, 8, 0.3),
}


def preset_config(name: str, overrides: Dict[str, Any]) -> type:
    """A dataclass like :class:`NatTransformerConfig`, some of whose defaults are replaced.

    Raises:
        KeyError: an override names no option.
    """
    known = NatTransformerConfig.__dataclass_fields__
    entries = [
        (key, known[key].type, field(default=value, metadata=dict(known[key].metadata)))
        for key, value in overrides.items()
    ]
    # How two are compared and printed is inherited: 71 presets are made whenever the plugin is loaded.
    made = make_dataclass(name, entries, bases=(NatTransformerConfig,), repr=False, eq=False)
    made.__module__ = __name__
    return made


def register_preset(name: str, overrides: Dict[str, Any]) -> type:
    """Register a preset with fairseq under ``name`` and return its model class."""
    title = "".join(part.capitalize() for part in name.split("_"))
    model = type(f"{title}Model", (NatTransformerModel,), {"__doc__": f"Preset ``{name}``.", "__module__": __name__})
    return register_lazily(name, model, preset_config(f"{title}Config", overrides))


# Gu & Kong 2021, appendix A: every model of theirs copies softly, and plain NAT predicts the length
NAT: Dict[str, Any] = {"masking": Masking.full, "copying": Copying.soft}
CTC: Dict[str, Any] = {**NAT, "upsample_scale": 3.0}
# "RND" in their Table 4: CMLM's masks
RND: Dict[str, Any] = {"masking": Masking.uniform}
# Qian et al. 2021: the ratio falls, and the number of tokens is rounded down
GLAT: Dict[str, Any] = {"masking": Masking.glancing, "glancing_ratio": "0.5:0.3@200k"}
# Gu & Kong 2021, §3.4 and appendix A: the ratio stays, and the number is drawn
CTC_GLAT: Dict[str, Any] = {
    "masking": Masking.glancing,
    "glancing_ratio": "0.5",
    "glancing_distance": GlancingDistance.levenshtein,
    "glancing_count": RevealedCount.poisson,
}

# Gu & Kong 2021, appendix A
VAE: Dict[str, Any] = {"latent_dim": 8}

# Guo et al. 2020, §4.1, §4.2 and §5.1.2: a tenth of the source, pairs of target tokens, and the positional attention of
# Gu et al. 2018
JM_NAT: Dict[str, Any] = {
    "encoder_mask_prob": 0.1,
    "decoder_mask_span": 2,
    "decoder_mask_fill": MaskFill.bert,
    "positional_attention": 1,
}

# Their small model for IWSLT14 (§5.1.2), as configs/size/iwslt_small.yaml has it
IWSLT_SMALL = _size(256, 256, 5, 4, 0.1)

# What a name stands for; plain `ctc` is the base size, `ctc_tiny` another. CMLM is Ghazvininejad et al. 2019.
METHODS: Dict[str, Dict[str, Any]] = {
    "cmlm": {},
    "jm_nat": JM_NAT,
    "nat": NAT,
    "nat_rnd": {**NAT, **RND},
    "glat": {**NAT, **GLAT},
    "vae_nat": {**NAT, **VAE},
    "vae_nat_rnd": {**NAT, **VAE, **RND},
    "vae_glat": {**NAT, **VAE, **GLAT},
    "ctc": CTC,
    "ctc_rnd": {**CTC, **RND},
    "ctc_glat": {**CTC, **CTC_GLAT},
    "ctc_vae": {**CTC, **VAE},
    "ctc_vae_rnd": {**CTC, **VAE, **RND},
    "ctc_vae_glat": {**CTC, **VAE, **CTC_GLAT},
}
PRESETS: Dict[str, Dict[str, Any]] = {
    **{name: {**SIZES["base"], **options} for name, options in METHODS.items()},
    **{f"{name}_{size}": {**SIZES[size], **options} for name, options in METHODS.items() for size in SIZES},
    "jm_nat_iwslt_small": {**IWSLT_SMALL, **JM_NAT},
}

for _name, _overrides in PRESETS.items():
    register_preset(_name, _overrides)
