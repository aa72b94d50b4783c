"""Measuring settings of training: each combination is a run of its own, trained and then evaluated."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nat_plugin.errors import UserError
from scripts.lib.cli import shell
from scripts.lib.config import compose_run
from scripts.lib.generation import displayed_path
from scripts.lib.rescoring import RANKING_FLAGS
from scripts.lib.results import Row
from scripts.lib.runs import Run, config_differences
from scripts.lib.stages import exclusive, fingerprint
from scripts.lib.training_log import last_validation
from scripts.lib.tuning.decoding import Decoding
from scripts.lib.tuning.space import Settings, Space, is_training_setting

RUNS = Path("runs/tuning")
_OURS = ("run", "name")


class Training:
    """Trains a run for each combination of the settings of training among those that are searched.

    The run's folder lies beside the study and is named by the values. A training that was stopped goes on from its last
    checkpoint; one that is finished serves all combinations of decoding flags.

    Args:
        words: for scripts/train.py, the same for all.
        space: what is searched, settings of training and perhaps decoding flags.
        folder: where the runs are; by default one under runs/tuning that is named by data, method and size.
        train: scripts/train.py as a function of its words.
        decoding: makes what evaluates a run.

    Raises:
        UserError: there is no setting of training among ``names``, or the words cannot be composed.
    """

    def __init__(
        self,
        words: Sequence[str],
        space: Space,
        folder: Path | None,
        *,
        split: str,
        train: Callable[[list[str]], None],
        decoding: Callable[[Path], Decoding],
    ) -> None:
        self._words, self._space, self._split = list(words), space, split
        self._train, self._make_decoding = train, decoding
        self._decodings: dict[Path, Decoding] = {}
        self._searched = [name for name in space.names if is_training_setting(name)]
        if not self._searched:
            raise UserError(
                f"nothing of {', '.join(space.names)} is a setting of training: name one, such as "
                "fairseq.skip_target_penalty=1,3, or train once and give the run in place of --train."
            )
        named = {word.partition("=")[0] for word in [*self._searched, *words]}
        if not named.isdisjoint(_OURS):
            raise UserError(
                "run= and name= are not for tuning, where each training has a folder of its own: say where they go "
                "with --study FOLDER/tune.journal."
            )
        self.name = str(compose_run([*self._words, *self._search_words(space.first())])["name"])
        self._folder = folder or RUNS / self.name

    def check(self) -> None:
        """Compose every training before the first is begun; of an endless space one.

        Raises:
            UserError: one cannot be composed, or its folder holds another training.
        """
        combinations = self._space.combinations() if self._space.is_finite else [self._space.first()]
        for settings in {self._folder_name(each): each for each in combinations}.values():
            config = compose_run(self.train_words(settings))
            run = Run(self.run_folder(settings))
            differences = config_differences(run.read_config(), config) if run.is_begun else []
            if differences:
                raise UserError(
                    f"{run.folder} was trained with another configuration ({'; '.join(differences)}): give the old "
                    "words, or another folder with --study FOLDER/tune.journal."
                )

    @property
    def study_file(self) -> Path:
        """Where the study is unless the user says so."""
        return self._folder / f"tune_{'_'.join(self._space.names)}.journal"

    @property
    def about(self) -> dict[str, Any]:
        """What the figures depend on beside what is searched."""
        return {"words": self._words, "split": self._split}

    @property
    def slowest_first(self) -> list[str]:
        """See :attr:`Decoding.slowest_first`: a training serves all decodings."""
        return sorted(self._space.names, key=lambda name: (is_training_setting(name), name not in RANKING_FLAGS))

    def run_folder(self, settings: Settings) -> Path:
        """Of the training of a combination."""
        return self._folder / self._folder_name(settings)

    def train_words(self, settings: Settings) -> list[str]:
        """What scripts/train.py is told."""
        folder = self.run_folder(settings)
        own = [f"run={displayed_path(folder)}", f"name={self.name}/{folder.name}"]
        return [*self._words, *self._search_words(settings), *own]

    def measure(self, settings: Settings) -> Row:
        """Train, go on or find it finished; then the row of the evaluation, and what the training's log says.

        Raises:
            UserError: the training failed, or fairseq-generate.
        """
        folder = self.run_folder(settings)
        if folder not in self._decodings:
            with exclusive(folder / ".tuning.lock", wait=True):  # another process may train it for other decoding flags
                self._train(self.train_words(settings))
            self._decodings[folder] = self._make_decoding(folder)
        row = self._decodings[folder].measure(self._decoding_flags(settings))
        skipped = last_validation(Run(folder).log_file, "skip_target")
        return {**row, "run": displayed_path(folder)} | ({} if skipped is None else {"skip_target": skipped})

    def keep(self, settings: Settings) -> str:
        """Store the decoding flags of a combination with its run; returns what to tell the user."""
        folder, flags = self.run_folder(settings), self._decoding_flags(settings)
        told = f"it is {displayed_path(folder)}, trained by\n  {self.command(settings)}"
        if flags:
            told += f"\nits decoding is {self._make_decoding(folder).keep(flags)}"
        return told

    def command(self, settings: Settings) -> str:
        """What trains the run of a combination."""
        return shell(["scripts/train.py", *self.train_words(settings)])

    def _search_words(self, settings: Settings) -> list[str]:
        return [f"{name}={_written(settings[name])}" for name in self._searched]

    def _decoding_flags(self, settings: Settings) -> Settings:
        return {name: value for name, value in settings.items() if name not in self._searched}

    def _folder_name(self, settings: Settings) -> str:
        """``skip_target_penalty=3``: the keys by their last parts, where these differ."""
        last = [name.rpartition(".")[2] for name in self._searched]
        keys = last if len(set(last)) == len(last) else self._searched
        plain = "_".join(f"{key}={_written(settings[name])}" for key, name in zip(keys, self._searched, strict=True))
        safe = re.sub(r"[^A-Za-z0-9_.+=-]+", "-", plain)[:150]
        return safe if safe == plain else f"{safe}-{fingerprint({'name': plain})[:6]}"


def _written(value: Any) -> str:
    """As Hydra reads it."""
    return json.dumps(value) if isinstance(value, bool) else str(value)
