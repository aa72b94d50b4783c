"""The run directory: one training, with its configuration, log, checkpoints and results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write, write_json
from nat_plugin.locks import take_lock

# What may differ when a training goes on: where it runs, how it is watched and what is done with it afterwards. Which
# checkpoints are kept (average.kind, average.metric) is not among them.
_FREE_KEYS = (
    "run",
    "name",
    "budget",
    "machine",
    "generate",
    "average.count",
    "data.candidates",  # what a method takes of these three stands in flags of fairseq, and counts there
    "data.candidate_weights",
    "data.candidate_bleu_factor",
    "fairseq.log_interval",
    "fairseq.log_format",
    "fairseq.num_workers",
)
# When training ends: these may grow, so that a finished training can be continued.
_GROWING_KEYS = ("fairseq.max_update", "fairseq.max_epoch", "fairseq.patience")


@dataclass(frozen=True)
class Run:
    """Paths inside one run directory."""

    folder: Path

    @property
    def config_file(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def command_file(self) -> Path:
        return self.folder / "command.txt"

    @property
    def log_file(self) -> Path:
        return self.folder / "train.log"

    @property
    def finished_file(self) -> Path:
        return self.folder / "finished.json"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def last_checkpoint(self) -> Path:
        return self.checkpoints / "checkpoint_last.pt"

    @property
    def averaged_file(self) -> Path:
        return self.folder / "averaged.json"

    @property
    def averaged_checkpoint(self) -> Path:
        return self.checkpoints / "averaged.pt"

    def read_config(self) -> dict[str, Any]:
        """The configuration the run was made with.

        Raises:
            UserError: the folder is no run directory.
        """
        if not self.folder.is_dir():
            raise UserError(
                f"{self.folder} is no run directory: there is no such folder; name one of scripts/train.py."
            )
        try:
            config = OmegaConf.to_container(OmegaConf.load(self.config_file))
        except (OSError, YAMLError, OmegaConfBaseException) as error:
            raise UserError(
                f"{self.folder} is no run directory ({error}): give one made by scripts/train.py."
            ) from error
        if not isinstance(config, dict):
            raise UserError(f"{self.config_file} holds no configuration: give a directory made by scripts/train.py.")
        return {str(key): value for key, value in config.items()}

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Store the configuration, without the name of the directory: it may be moved."""
        with atomic_write(self.config_file) as handle:
            handle.write(OmegaConf.to_yaml(OmegaConf.create({key: config[key] for key in config if key != "run"})))

    @property
    def is_begun(self) -> bool:
        """Whether a training has left a checkpoint here, with which it goes on."""
        return self.config_file.exists() and any(self.checkpoints.glob("*.pt"))

    def check_continues(self, config: Mapping[str, Any]) -> None:
        """Refuse to continue a training under another configuration; one that has left no checkpoint begins anew.

        Raises:
            UserError: something that shapes the training differs, or its end was moved closer.
        """
        if not self.is_begun:
            return
        differences = config_differences(self.read_config(), config)
        if differences:
            shown = "; ".join(differences)
            raise UserError(
                f"{self.folder} was made with another configuration ({shown}): give the old values to continue it, or "
                "run=OTHER_DIRECTORY to start a new training."
            )

    def chosen_checkpoint(self) -> Path:
        """The averaged checkpoint where there is one, or else the best, or else the last.

        Raises:
            UserError: there is none yet.
        """
        for name in ("averaged.pt", "checkpoint_best.pt", "checkpoint_last.pt"):
            if (self.checkpoints / name).is_file():
                return self.checkpoints / name
        raise UserError(f"{self.checkpoints} holds no checkpoint: train first with scripts/train.py run={self.folder}.")

    def averaged_from(self) -> list[str]:
        """The names of the checkpoints in ``averaged.pt``, best first; empty where there is none."""
        try:
            names = json.loads(self.averaged_file.read_text(encoding="utf-8"))["checkpoints"]
        except (OSError, ValueError, KeyError, TypeError):
            return []
        return list(names) if self.averaged_checkpoint.is_file() else []

    def mark_finished(self, limits: Mapping[str, Any]) -> None:
        write_json(self.finished_file, dict(limits))

    def is_finished(self, limits: Mapping[str, Any]) -> bool:
        """Whether a training with these limits has come to its end."""
        try:
            return bool(json.loads(self.finished_file.read_text(encoding="utf-8")) == dict(limits))
        except (OSError, ValueError):
            return False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second training out of this directory.

        Raises:
            UserError: another one is running.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / ".lock", "w", encoding="utf-8") as handle:
            if not take_lock(handle):
                raise UserError(
                    f"another process is working in {self.folder}: wait for it, or choose another run=DIRECTORY."
                )
            yield

    def remove_leftovers(self) -> None:
        """Remove half-written files of a run that was killed or met a full disk."""
        for path in self.checkpoints.glob("*.tmp"):
            path.unlink()


def config_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What forbids continuing: ``key: old, now new`` for each key that shapes the training and differs."""
    flat_old, flat_new = flatten(old), flatten(new)
    found = []
    for key in sorted(flat_old.keys() | flat_new.keys()):
        before, now = flat_old.get(key), flat_new.get(key)
        if before == now or any(key == free or key.startswith(free + ".") for free in _FREE_KEYS):
            continue
        if key in _GROWING_KEYS and _grew(before, now):
            continue
        found.append(f"{key} was {before}, now {now}")
    return found


def _grew(before: Any, now: Any) -> bool:
    return now is None or (before is not None and now >= before)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings → one level, with dots in the keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
