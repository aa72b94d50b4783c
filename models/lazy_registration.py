"""Registration of a model whose configuration Hydra does not need yet.

fairseq's ``register_model`` hands every configuration to Hydra's store, which takes ten milliseconds to convert one:
with all our presets the better half of what each command spent on loading the plugin.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from fairseq.models import MODEL_DATACLASS_REGISTRY, register_model, register_model_architecture
from hydra.core.config_store import ConfigNode, ConfigStore
from omegaconf import DictConfig, OmegaConf


class _LazyNode(ConfigNode):
    """An entry of Hydra's store that converts a dataclass when it is read."""

    def __init__(self, name: str, config: Any) -> None:
        self.name, self.group, self.package, self.provider = f"{name}.yaml", "model", None, "fairseq"
        self._config = config

    @cached_property
    def node(self) -> DictConfig:  # type: ignore[override]
        return OmegaConf.structured(self._config)


def register_lazily(name: str, model: type, config: type) -> type:
    """What ``register_model(name, dataclass=config)(model)`` of fairseq does, but for Hydra's work.

    Returns:
        the model's class.

    Raises:
        ValueError: the class is no model of fairseq's, or the name is taken.
    """
    registered: type = register_model(name)(model)
    registered.__dataclass = config  # type: ignore[attr-defined]  # where fairseq looks for the options
    MODEL_DATACLASS_REGISTRY[name] = config
    register_model_architecture(name, name)(_no_other_defaults)
    node = config()
    node._name = name
    ConfigStore.instance().repo.setdefault("model", {})[f"{name}.yaml"] = _LazyNode(name, node)
    return registered


def _no_other_defaults(_: Any) -> None:
    """An architecture of fairseq's may change the options; these are the dataclass's."""
