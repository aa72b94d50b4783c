"""From `data=… method=… size=…` to one resolved configuration, and from that to the flags of fairseq-train."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nat_plugin.errors import UserError
from scripts.lib.machine import detect_machine
from scripts.lib.starting import HALVES

CONFIG_FOLDER = Path(__file__).resolve().parents[2] / "configs"

# Groups whose keys are other programs' flags: any may be added on the command line, and that program checks them.
_OPEN_GROUPS = ("fairseq.", "generate.")

# Paths that are taken to the letter, and texts that may also come in Hydra's quotes.
_PATHS = ("run", "start_from")
_TEXTS = ("name", "data.name", "data.path", *(f"fairseq.{half}" for half in HALVES))

# Flags that scripts/train.py works out itself, and where to say instead what the user wants.
_DERIVED_FLAGS = {
    "max_tokens": "machine.max_tokens or batch_tokens",
    "update_freq": "batch_tokens",
    "fp16": "machine.precision=fp16",
    "bf16": "machine.precision=bf16",
    "cpu": "machine=cpu",
    "save_dir": "run=DIR",
    "source_lang": "data.source_lang",
    "target_lang": "data.target_lang",
    "user_dir": "nothing: it is always nat_plugin",
    "distributed_world_size": "machine.processes",
    "keep_best_checkpoints": "average.count",
    "keep_last_epochs": "average.count",
    "best_checkpoint_metric": "average.metric",
    "maximize_best_checkpoint_metric": "average.metric",
    "finetune_from_model": "start_from",
}

# fairseq's switches that are on by default, of the tasks that we train: their flag turns them off.
_ON_UNTIL_NAMED = {("translation", "left_pad_source"), ("translation_lev", "left_pad_source")}


def compose_run(overrides: Sequence[str], config_folder: Path = CONFIG_FOLDER) -> dict[str, Any]:
    """Compose the configuration of a run.

    Args:
        overrides: ``key=value`` as on the command line; ``data=FOLDER`` names a data directory without a file of its
            own in ``configs/data``.

    Returns:
        The resolved configuration as plain dictionaries; ``configs/train.yaml`` shows its keys.

    Raises:
        UserError: an unknown choice or key, a missing value, or a value out of range.
    """
    if not OmegaConf.has_resolver("equal"):
        OmegaConf.register_new_resolver("equal", lambda left, right: left == right)
        OmegaConf.register_new_resolver("part", _part)
        OmegaConf.register_new_resolver("folders", _folders)
    prepared = [part for override in overrides for part in _prepare_override(override, config_folder)]
    prepared += _name_of_folder(overrides)
    if not any(override.startswith("machine=") for override in prepared):
        prepared.append(f"machine={detect_machine()}")
    try:
        # Not a newer version_base: it would hold for this whole process, and fairseq's own use of Hydra then fails.
        with initialize_config_dir(config_dir=str(config_folder.resolve()), version_base="1.1"):
            composed: DictConfig = compose("train", overrides=prepared)
        resolved = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_one_sentence(error, config_folder)) from error
    assert isinstance(resolved, dict)
    config: dict[str, Any] = {str(key): value for key, value in resolved.items()}
    _validate(config)
    return config


def _part(whole: Any, numerator: int, denominator: int) -> int:
    """``${part:${fairseq.max_update},2,3}``: two thirds of the updates, for a schedule."""
    if isinstance(whole, bool) or not isinstance(whole, (int, float)):
        raise ValueError(
            "this method needs parts of fairseq.max_update, which is no number: give it, or what is made of it "
            "(fairseq.free_bits, fairseq.glancing_ratio, fairseq.validate_interval_updates)"
        )
    return round(whole * numerator / denominator)


def _folders(names: Any) -> str:
    """``${folders:${data.candidates}}``: the folders as fairseq takes several."""
    if not isinstance(names, Sequence) or isinstance(names, str) or not names:
        raise ValueError(
            "this method chooses among several targets of each sentence, and the data name no folders of them: add "
            "data.candidates=[DIR,DIR], each made by scripts/distill.py"
        )
    return os.pathsep.join(str(name) for name in names)


def _prepare_override(override: str, config_folder: Path) -> list[str]:
    key, equals, value = override.partition("=")
    if not equals:
        raise UserError(f"'{override}' is no key=value pair: write for example data=multi30k_en_de or fairseq.lr=5e-4.")
    if key.startswith(("+", "~")):
        raise UserError(
            f"'{override}' adds a key that nothing reads: write fairseq.KEY=VALUE for a flag of fairseq-train, and "
            "generate.KEY=VALUE for one of decoding."
        )
    if key == "data" and not (config_folder / "data" / f"{value}.yaml").is_file():
        if Path(value).is_dir():
            return _data_folder(Path(value))
        if "/" in value:
            raise UserError(
                f"there is no data folder {value} (from {Path.cwd()}): correct the path, or make it with "
                "scripts/prepare.py."
            )
    if override == "machine=auto":
        return []
    if key in _PATHS or (key in _TEXTS and not value.startswith(("'", '"'))):
        value = _quoted(value)
    return [f"{'++' if key.startswith(_OPEN_GROUPS) else ''}{key}={value}"]


def _quoted(text: str) -> str:
    """A text as Hydra reads it back: bare, it may hold few signs and no letters but English ones.

    Not as JSON has it: in quotes Hydra undoes the escapes of quotes alone, and of backslashes before one.
    """
    escaped = re.sub(r'(\\*)("|\Z)', lambda found: found[1] * 2 + found[2].replace('"', '\\"'), text)
    return f'"{escaped}"'


def _name_of_folder(overrides: Sequence[str]) -> list[str]:
    """A run in a folder of the user's choice is called by that, unless it is given a name: others of its method and
    data have the usual one."""
    given = dict(override.split("=", 1) for override in overrides if override.startswith(("run=", "name=")))
    if "run" not in given or "name" in given or "${" in given["run"]:  # runs/seed2/${name} is made of the usual one
        return []
    folder = Path(given["run"]).resolve()
    return [f"name={_quoted(f'{folder.parent.name}/{folder.name}')}"]


def _data_folder(folder: Path) -> list[str]:
    """Overrides for a folder that scripts/prepare.py or scripts/distill.py wrote."""
    record = folder / "prepare.json"
    try:
        languages = json.loads(record.read_text(encoding="utf-8"))
        source, target = languages["source_lang"], languages["target_lang"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{folder} has no usable prepare.json ({error}): make the folder with scripts/prepare.py, or finish "
            "scripts/distill.py, which writes it last."
        ) from error
    same = (folder / f"dict.{source}.txt").read_bytes() == (folder / f"dict.{target}.txt").read_bytes()
    return [
        "data=folder",
        f"data.name={_quoted(folder.resolve().name)}",
        f"data.path={_quoted(str(folder))}",
        f"data.source_lang={source}",
        f"data.target_lang={target}",
        f"data.share_embeddings={'all' if same else 'decoder'}",
    ]


def _one_sentence(error: Exception, config_folder: Path) -> str:
    """Hydra's message without its hints about other ways to configure Hydra; or ours, of what is often misspelled."""
    if setting := re.search(r"Could not override '([\w.]+)'", str(error)):
        return (
            f"there is no setting '{setting[1]}': write fairseq.{setting[1]}=… for a flag of fairseq-train, and "
            f"generate.{setting[1]}=… for one of decoding."
        )
    if choice := re.search(r"Could not find '(\w+)/(.+?)'", str(error)):
        group, name = choice.groups()
        known = sorted(path.stem for path in (config_folder / group).glob("*.yaml"))
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {nearest[0]}? There are " if nearest else ""
        return f"there is no {group}={name}: {hint}{', '.join(known)}."
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    noise = ("Set the environment", "full_key:", "object_type=", "See ", "Config search path:", "provider=")
    kept = [line.removeprefix("In 'train': ") for line in lines if not line.startswith(noise)]
    return "the configuration cannot be composed: " + " ".join(kept)


def _validate(config: Mapping[str, Any]) -> None:
    for flag, instead in _DERIVED_FLAGS.items():
        if flag in config["fairseq"]:
            raise UserError(f"fairseq.{flag} is worked out by this script: set {instead}.")
    method = config["method"]
    if method.get("needs_start") and config["start_from"] is None:
        raise UserError(
            f"method={method['name']} fine-tunes a trained model: name its run or checkpoint with start_from=…."
        )
    average = config["average"]
    _one_of("average.kind", average["kind"], ("best", "last", "none"))
    _one_of("average.metric", average["metric"], ("loss", "bleu"))
    _one_of("method.kind", method["kind"], ("autoregressive", "non_autoregressive"))
    _positive_integer("average.count", average["count"])
    _positive_integer("batch_tokens", config["batch_tokens"])
    flags = config["fairseq"]
    if flags.get("lr_scheduler") == "inverse_sqrt":
        _positive_integer("fairseq.warmup_updates", flags.get("warmup_updates"))
    machine = config["machine"]
    _one_of("machine.device", machine["device"], ("cpu", "cuda"))
    _one_of("machine.precision", machine["precision"], ("fp32", "fp16", "bf16"))
    _one_of("machine.keep_freed_memory", machine.get("keep_freed_memory", False), (True, False))
    _positive_integer("machine.max_tokens", machine["max_tokens"])
    if machine["processes"] != "auto":
        _positive_integer("machine.processes", machine["processes"])
    if machine["device"] == "cpu" and machine["precision"] != "fp32":
        raise UserError(
            f"machine.precision={machine['precision']} needs a CUDA GPU, a CPU trains in fp32: leave it out, or take "
            "a machine with a GPU (machine=v100, a100 or h200)."
        )


def _one_of(key: str, value: Any, choices: Sequence[object]) -> None:
    if value not in choices:
        raise UserError(f"{key}={value} is not possible: choose one of {', '.join(map(str, choices))}.")


def _positive_integer(key: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{key}={value} is not possible: give a whole number of at least 1.")


def to_flags(values: Mapping[str, Any]) -> list[str]:
    """Command-line flags: ``{"max_update": 5, "cpu": True, "x": None}`` gives ``--max-update 5 --cpu``.

    Lists become one comma-separated value and dictionaries JSON, which is how fairseq reads both.
    """
    flags: list[str] = []
    for key, value in values.items():
        if isinstance(value, bool) and (values.get("task"), key) in _ON_UNTIL_NAMED:
            value = not value
        if value is None or value is False:
            continue
        flags.append("--" + key.replace("_", "-"))
        if value is True:
            continue
        if isinstance(value, (list, tuple)):
            value = ",".join(str(part) for part in value)
        elif isinstance(value, Mapping):
            value = json.dumps(value)
        flags.append(str(value))
    return flags
