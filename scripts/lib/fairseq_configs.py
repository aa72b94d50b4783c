"""Writes ``configs/fairseq/*.yaml``: primary configurations for plain ``fairseq-hydra-train``.

Hydra composes before ``--user-dir`` is imported, so it cannot know the options of our task, model and criterion: every
one of them has to stand in the file to be settable on the command line. They are taken from the dataclasses, and a test
compares the files with them. Write them again with ``python -m scripts.lib.fairseq_configs``.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

import nat_plugin
from nat_plugin.files import atomic_write

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "fairseq"
_WIDTH = 118
_END = "...\n"  # YAML's end of a document that is a bare scalar
_HEAD = """\
# {title}
# Written by scripts/lib/fairseq_configs.py; change it there. From the root of the repository:
#   fairseq-hydra-train --config-dir configs/fairseq --config-name {name} \\
#     task.data=data-bin/wmt14_en_de_kd checkpoint.save_dir=runs/{name} [model.dropout=0.1 …]
"""
# Hydra would otherwise change to a folder of its own, and relative paths would lead nowhere.
_HYDRA = """\
hydra:
  run:
    dir: ${checkpoint.save_dir}
  job:
    chdir: false
"""


@dataclass(frozen=True)
class Recipe:
    """What one configuration is made of.

    Attributes:
        title: the first line of the file.
        criterion: the name of a registered criterion.
        model: the name of a registered preset.
        label_smoothing: ε.
        optimizer: what is not AXE's of Adam's settings.
    """

    title: str
    criterion: str
    model: str = "cmlm"
    label_smoothing: float = 0.1
    optimizer: Mapping[str, Any] = field(default_factory=dict)


_VASWANI = {"adam_betas": "(0.9, 0.98)", "adam_eps": 1e-9, "weight_decay": 0.0}  # Vaswani et al. 2017 §5.3

RECIPES = {
    "cmlm_cross_entropy": Recipe(
        "The CMLM of Ghazvininejad et al. 2019 with cross entropy, as the AXE paper trains it.", "nat_cross_entropy"
    ),
    "cmlm_axe": Recipe("The CMLM with aligned cross entropy, Ghazvininejad et al. 2020.", "nat_axe"),
    "jm_nat": Recipe(
        "JM-NAT with its n-gram loss, Guo et al. 2020.",
        "nat_ngram",
        "jm_nat",
        optimizer=_VASWANI,  # §5.1.5
    ),
    "glat": Recipe("The glancing transformer, Qian et al. 2021.", "nat_cross_entropy", "glat"),
    "ctc": Recipe("CTC on an upsampled canvas, Gu & Kong 2021.", "nat_ctc", "ctc", label_smoothing=0.01),
    "ctc_vae": Recipe("CTC with a latent variable, Gu & Kong 2021.", "nat_ctc", "ctc_vae", label_smoothing=0.01),
    "ctc_glat": Recipe("CTC with glancing, Gu & Kong 2021.", "nat_ctc", "ctc_glat", label_smoothing=0.01),
}

# Ghazvininejad et al. 2020, §4.1: 128k tokens an update, here as 16 batches of one GPU. The rest is fairseq's default.
_TRAINING: dict[str, dict[str, Any]] = {
    "common": {"user_dir": "nat_plugin", "log_format": "json", "log_interval": 100, "seed": 1},
    "checkpoint": {"save_dir": "checkpoints", "keep_best_checkpoints": 5},
    "distributed_training": {"ddp_backend": "legacy_ddp"},
    "dataset": {"max_tokens": 8192, "num_workers": 2},
    "optimization": {"lr": [0.0005], "max_update": 300000, "update_freq": [16]},
    "optimizer": {"_name": "adam", "adam_betas": "(0.9, 0.999)", "adam_eps": 1e-6, "weight_decay": 0.01},
    "lr_scheduler": {"_name": "inverse_sqrt", "warmup_updates": 10000, "warmup_init_lr": 1e-7},
}
_CHANGED: dict[str, dict[str, Any]] = {"model": {"positions": "sinusoidal"}}


def render(name: str) -> str:
    """The text of one configuration.

    Args:
        name: a key of :data:`RECIPES`.
    """
    nat_plugin.register()
    from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
    from fairseq.models import MODEL_DATACLASS_REGISTRY
    from fairseq.tasks import TASK_DATACLASS_REGISTRY

    recipe = RECIPES[name]
    ours = {
        "task": ("nat_translation", TASK_DATACLASS_REGISTRY["nat_translation"]),
        "criterion": (recipe.criterion, CRITERION_DATACLASS_REGISTRY[recipe.criterion]),
        "model": (recipe.model, MODEL_DATACLASS_REGISTRY[recipe.model]),
    }
    lines = [_HEAD.format(title=recipe.title, name=name), _HYDRA]
    for group, values in (_TRAINING | {"optimizer": {**_TRAINING["optimizer"], **recipe.optimizer}}).items():
        lines += [f"{group}:", *(_entry(key, value) for key, value in values.items()), ""]
    changed = {**_CHANGED, "criterion": {"label_smoothing": recipe.label_smoothing}}
    for group, (registered, config) in ours.items():
        lines += [f"{group}:", f"  _name: {registered}", *_options(config, changed.get(group, {})), ""]
    return "\n".join(lines).rstrip() + "\n"


def _options(config: type, changed: Mapping[str, Any]) -> Iterator[str]:
    """Every option of a dataclass with its default, or what is changed, under its help."""
    fields = config.__dataclass_fields__  # type: ignore[attr-defined]
    values = OmegaConf.to_container(OmegaConf.structured(config), resolve=False, enum_to_str=True)
    assert isinstance(values, dict)
    for key, value in {**values, **changed}.items():
        if key == "_name":
            continue
        explanation = " ".join(str(fields[key].metadata.get("help", "")).split())
        yield from textwrap.wrap(explanation, _WIDTH, initial_indent="  # ", subsequent_indent="  # ")
        yield _entry(str(key), value)


def _entry(key: str, value: Any) -> str:
    dumped: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    return f"  {key}: {dumped.removesuffix(_END).rstrip()}"


def main() -> None:
    """Write all configurations."""
    for name in RECIPES:
        with atomic_write(FOLDER / f"{name}.yaml") as handle:
            handle.write(render(name))


if __name__ == "__main__":
    main()
