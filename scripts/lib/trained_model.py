"""What a run directory says about translating with its model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nat_plugin.errors import UserError
from scripts.lib.generation import flag_key
from scripts.lib.runs import Run


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

    @classmethod
    def load(cls, folder: Path) -> TrainedModel:
        """Read ``config.yaml`` and ``tuned.json`` of a run directory.

        Raises:
            UserError: it is missing or no run directory, or a file lacks what is needed.
        """
        run = Run(folder)
        config = run.read_config()
        try:
            data, method, generate = config["data"], config["method"], config.get("generate") or {}
            return cls(
                run=run,
                name=config.get("name") or f"{folder.resolve().parent.name}/{folder.resolve().name}",
                method=method["name"],
                data=Path(data["path"]),
                source_lang=data["source_lang"],
                target_lang=data["target_lang"],
                task=(config.get("fairseq") or {}).get("task") or _default_task(method["kind"]),
                decoding={flag_key(key): value for key, value in generate.items()} | _read_tuned(folder / "tuned.json"),
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
            return self.run.chosen_checkpoint()
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
    if not path.is_file():
        return {}
    try:
        tuned = json.loads(path.read_text(encoding="utf-8"))
        return {flag_key(key): value for key, value in tuned.items()}
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path} is not what scripts/tune.py writes ({error}): remove it, or tune again.") from error
