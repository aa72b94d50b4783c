"""The steps that lead to a trained system: data → teacher → distilled data → student."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nat_plugin.errors import UserError
from scripts.lib.recipes import RECIPES, ROOT
from scripts.lib.reproduce.recipe import System
from scripts.lib.reproduce.scale import DataSet, Scale
from scripts.lib.reproduce.steps import Graph, Step, Training, compose

# What the recipes say themselves, and how the user says it instead.
_DECIDED = {
    "data": "--data",
    "size": "--size",
    "budget": "--budget",
    "method": "a recipe of that method",
    "run": "--runs",
    "name": "--runs",
    "start_from": "a recipe that fine-tunes",
    "fairseq.seed": "--seeds",
}
_PREPARED = ROOT / "data-bin"  # where scripts/prepare.py writes
# What two encoders must have in common for one to begin with the other's weights.
_ENCODER = ("embed_dim", "ffn_embed_dim", "layers", "attention_heads", "normalize_before")
_DIMENSIONS = ("encoder_embed_dim", "encoder_ffn_embed_dim", "decoder_embed_dim", "decoder_ffn_embed_dim")


class SystemSteps:
    """Adds the trainings of systems, and what they need, to a graph.

    Args:
        graph: what several recipes share.
        systems: by name, of the scale's kind.

    Raises:
        UserError: one of the user's words for scripts/train.py is a recipe's to say, or for a system that there is not;
            or the students' encoder is of no system.
    """

    def __init__(self, graph: Graph, systems: Mapping[str, System], scale: Scale) -> None:
        self.graph, self.systems, self.scale = graph, dict(systems), scale
        self.trained: set[str] = set()
        """Names of the systems that anything was planned for."""
        for name, words in {"": scale.settings, **scale.own_settings}.items():
            if name and name not in self.systems:
                raise UserError(f"{name}:{words[0]} is for no system: configs/systems.yaml names them.")
            for word in words:
                if (key := word.partition("=")[0]) in _DECIDED:
                    raise UserError(f"{word} is the recipe's to say: use {_DECIDED[key]}.")
        if scale.encoder_from and scale.encoder_from not in self.systems:
            raise UserError(f"--encoder-from {scale.encoder_from} is no system: configs/systems.yaml names them.")

    def system(self, name: str) -> System:
        """A system by name, as it begins here."""
        if name not in self.systems:
            raise UserError(f"there is no system '{name}' in configs/systems.yaml: correct the recipe.")
        system = self.systems[name]
        suffix = "_".join(filter(None, (system.suffix, self.scale.beginning)))
        if self._begins_with_encoder(system):
            return replace(system, encoder_from=self._giver(system), suffix=suffix)
        if system.start_from and self.system(system.start_from) != self.systems[system.start_from]:
            return replace(system, suffix=suffix)  # it goes on from one that begins so
        return system

    def students_words(self) -> tuple[list[str], list[str]]:
        """For students that a script of a recipe trains: words for scripts/train.py, and the steps before.

        They say what students of the chosen size begin with, and a name that tells such runs from those that begin at
        random; there are none where all begin at random.
        """
        student = System("", "vanilla")
        if not self._begins_with_encoder(student):
            return [], []
        run, step = self.train(self._giver(student))
        name = f"name=${{data.name}}/${{method.name}}_${{size.name}}_{self.scale.beginning}"
        return [f"fairseq.load_encoder_from={run}", name], [step]

    def _giver(self, system: System) -> str:
        """Whose encoder students begin with: on synthetic data, of another source language, that of their teacher."""
        own = f"{self.scale.encoder_from}_{system.data}"
        return own if own in self.systems else self.scale.encoder_from

    def _begins_with_encoder(self, system: System) -> bool:
        """Whether it is a student of ours that begins at random, and its encoder is like the one to begin with."""
        giver = self._giver(system)
        if not self.scale.encoder_from or giver == system.name or system.start_from or system.encoder_from:
            return False
        config = self._config(system)
        if config["method"]["kind"] != "non_autoregressive" or config["fairseq"]["task"] != "nat_translation":
            return False
        given = self._config(self.systems[giver])
        return all(
            config["fairseq"].get(f"encoder_{part}") == given["fairseq"].get(f"encoder_{part}") for part in _ENCODER
        )

    def _config(self, system: System) -> dict[str, Any]:
        """What can be said of a system's training before its data are there."""
        size = system.size or self.scale.size
        words = (*system.words, *self._widths(system, size), *self.scale.settings_of(system.name))
        return compose(("data=generated", f"method={system.method}", f"size={size}", "machine=cpu", *words))

    def data(self, kind: str) -> tuple[DataSet, str]:
        """A data set and the step that makes it."""
        data = self.scale.data(kind, self.systems)
        what, _, teacher = kind.partition(":")
        if kind == "raw":
            return data, self._prepared(data)
        if what == "kd":
            run, training = self.train(teacher or "teacher")
            usual = data.path == self.scale.raw.path.with_name(f"{self.scale.raw.path.name}_kd")
            words = ("distill.py", str(run), *(() if usual else ("--output", str(data.path))))
            title = f"{data.name}: the training set translated by {run}"
            return data, self.graph.add(Step(title, words, data.path / "distill.json", (training,)))
        rule = what.removeprefix("synthetic_").upper()
        path = self.scale.raw.path
        usual = data.path == path.with_name(f"{path.name}_{what}")
        words = ("make_synthetic.py", str(path), "--rule", rule, *(() if usual else ("--output", str(data.path))))
        raw = self.data("raw")[1]
        return data, self.graph.add(Step(f"{data.name}: synthetic data", words, data.path / "prepare.json", (raw,)))

    def _prepared(self, data: DataSet) -> str:
        words = ["prepare.py", *([] if data.name in RECIPES else ["--name"]), data.name]
        if data.path.resolve() != _PREPARED / data.name:
            words += ["--output", str(data.path)]
        return self.graph.add(Step(f"{data.name}: prepared text", tuple(words), data.path / "prepare.json"))

    def train(self, name: str) -> tuple[Path, str]:
        """A system's run and the step that trains it."""
        system = self.system(name)
        self.trained.add(name)
        data, made = self.data(system.data)
        needs = [made]
        size, method = system.size or self.scale.size, system.method
        folder = f"{method}_{size}{'_' if system.suffix else ''}{system.suffix}"
        root = self.scale.run_root(system)
        run = root / data.name / folder
        words = [data.word, f"method={method}", f"size={size}", f"budget={self.scale.budget}", *system.words]
        words += self._widths(system, size)
        for key, other in {"start_from": system.start_from, "fairseq.load_encoder_from": system.encoder_from}.items():
            if other:
                begun, step = self.train(other)
                needs.append(step)
                words.append(f"{key}={begun}")
        if not system.is_shared:
            words += self.scale.seed_words
        words += self.scale.settings_of(name)
        if system.suffix:
            words.append(f"name={data.name}/{folder}")
        if root != Path("runs"):
            words.append(f"run={run}")
        title = f"training of {data.name}/{folder}"
        return run, self.graph.add(Training(title, ("train.py", *words), run / "finished.json", tuple(needs)))

    @staticmethod
    def _widths(system: System, size: str) -> list[str]:
        if system.width == 1:
            return []
        flags = compose(("data=generated", "method=teacher", f"size={size}", "machine=cpu"))["fairseq"]
        return [f"fairseq.{name}={int(flags[name] * system.width)}" for name in _DIMENSIONS]
