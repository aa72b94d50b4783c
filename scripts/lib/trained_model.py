"""What a run directory says about translating with its model."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nat_plugin.errors import UserError
from scripts.lib.generation import flag_key
from scripts.lib.runs import Run

NOTHING_TUNED = Path("none")
"""In place of a file of scripts/tune.py: what a run's ``tuned.json`` says does not count."""


@dataclass(frozen=True)
class TrainedModel:
    """A run, ready to translate."""

    run: Run
    name: str
    method: str
    data: Path
    source_lang: str
    target_lang: str
    task: str
    """fairseq's name of it."""
    decoding: dict[str, Any]
    """Flags of fairseq-generate, as ``length_multiplier`` → 1.05; what was tuned wins over the configuration."""
    only_checkpoint: Path | None = None
    """The one checkpoint there is, where no run directory was given."""

    @classmethod
    def load(cls, path: Path, tuned: Path | None = None) -> TrainedModel:
        """Read ``config.yaml`` and ``tuned.json`` of a run directory, or the configuration inside a checkpoint.

        Args:
            path: the directory, or a checkpoint of any fairseq-train. One in the ``checkpoints/`` of a run is decoded
                as that run is; another knows its task, languages and data, and is decoded by fairseq's defaults.
            tuned: a file of scripts/tune.py whose winner counts in place of the directory's ``tuned.json``, or
                :data:`NOTHING_TUNED`.

        Raises:
            UserError: it is missing or neither, or a file lacks what is needed.
        """
        if tuned and tuned != NOTHING_TUNED and not tuned.is_file():
            raise UserError(f"--tuned {tuned}: there is no such file; make it with scripts/tune.py.")
        if not path.is_file():
            return cls._of_run(path, tuned)
        if Run(path.parent.parent).config_file.is_file() and path.parent == Run(path.parent.parent).checkpoints:
            model = cls._of_run(path.parent.parent, tuned)
            return replace(model, name=f"{model.name}, {path.name}", only_checkpoint=path)
        model = cls._of_checkpoint(path)
        return replace(model, decoding=_read_tuned(tuned)) if tuned else model

    @classmethod
    def _of_checkpoint(cls, path: Path) -> TrainedModel:
        from scripts.lib.averaging import load_checkpoint  # seconds to import

        config = load_checkpoint(path).get("cfg") or {}
        try:
            task, arch = config["task"], config["model"]._name  # of fairseq's transformer it is a Namespace
            return cls(
                run=Run(path.parent),
                name=f"{path.resolve().parent.name}/{path.stem}",
                method=arch,
                data=Path(str(task["data"]).split(os.pathsep)[0]),
                source_lang=task["source_lang"],
                target_lang=task["target_lang"],
                task=task["_name"],
                decoding={},
                only_checkpoint=path,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path} does not say how to translate with it ({type(error).__name__}: {error}): name a run folder, "
                "or a checkpoint that fairseq-train wrote for a translation task."
            ) from error

    @classmethod
    def _of_run(cls, folder: Path, tuned: Path | None) -> TrainedModel:
        run = Run(folder)
        config = run.read_config()
        try:
            data, method, generate = config["data"], config["method"], config.get("generate") or {}
            return cls(
                run=run,
                name=config.get("name") or f"{folder.resolve().parent.name}/{folder.resolve().name}",
                method=method["name"],
                data=found_data(Path(data["path"]), folder),
                source_lang=data["source_lang"],
                target_lang=data["target_lang"],
                task=(config.get("fairseq") or {}).get("task") or _default_task(method["kind"]),
                decoding={flag_key(key): value for key, value in generate.items()}
                | _read_tuned(tuned or folder / "tuned.json"),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{run.config_file} lacks something that scripts/train.py writes ({type(error).__name__}: {error}): "
                "train the run again, or mend the file."
            ) from error

    def checkpoint(self, name: str | None = None) -> Path:
        """A checkpoint of the run.

        Args:
            name: a file in ``checkpoints/``, or a path; by default the averaged, else the best, else the last one.

        Raises:
            UserError: there is no such file.
        """
        if name is None:
            return self.only_checkpoint or self.run.chosen_checkpoint()
        for path in (self.run.checkpoints / name, Path(name)):
            if path.is_file():
                return path
        there = ", ".join(sorted(path.name for path in self.run.checkpoints.glob("*.pt"))) or "none"
        raise UserError(
            f"there is no checkpoint '{name}' in {self.run.checkpoints} (there: {there}): choose another --checkpoint."
        )


def _default_task(kind: str) -> str:
    return "translation" if kind == "autoregressive" else "nat_translation"


def _read_tuned(path: Path) -> dict[str, Any]:
    if path == NOTHING_TUNED or not path.is_file():
        return {}
    try:
        tuned = json.loads(path.read_text(encoding="utf-8"))
        tuned = tuned.get("winner", tuned)  # with the whole curve beside it, in RUN/results
        return {flag_key(key): value for key, value in tuned.items()}
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path} is not what scripts/tune.py writes ({error}): remove it, or tune again.") from error


def found_data(data: Path, run: Path) -> Path:
    """The data of a run, which its files name from where they were written: from here, or a folder above it."""
    if data.is_absolute() or data.is_dir():
        return data
    return next((parent / data for parent in run.resolve().parents if (parent / data).is_dir()), data)
