"""A search that several processes share, and that none of them loses when it is killed (Optuna's journal file)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState

from nat_plugin.errors import UserError
from scripts.lib.results import Row
from scripts.lib.stages import fingerprint
from scripts.lib.tuning.presence import Presence
from scripts.lib.tuning.space import Settings, Space, identity

POLL_SECONDS = 2.0
_DRAWS = 10  # how often a sampler may propose what has been tried before something else is taken
_CLAIM = ".claim"
_CLAIM_GRACE_SECONDS = 300  # to queue a large grid on a slow disk takes a while
_STARTED = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING)


@dataclass(frozen=True)
class Claim:
    """A combination that this process is to measure, and nobody else."""

    settings: Settings
    trial: Trial


class SharedStudy:
    """The combinations of one search: which are to be tried, who is at which, and what was measured.

    They are kept in a journal, a file to which each process appends under a lock that shared file systems have too. A
    process takes a combination, and decides what to try next, under a second lock, so that no combination is given out
    twice. What a process was at that is gone is given to another (:class:`Presence`).

    Args:
        path: the journal; other searches may be in the same file.
        space: what is searched.
        about: all that a measurement depends on beside the combination, and what is sought: another value of any of it
            is another search.
        trials: how many combinations a sampler tries, those of all processes together; None for a grid.
        seed: of the sampler.
        order: a sorting key of a grid's combinations where they are not to be tried in their own order.
        poll_seconds: how often a process without work looks whether another has ended.

    Raises:
        UserError: the journal is damaged.
    """

    def __init__(
        self,
        path: Path,
        space: Space,
        *,
        about: Mapping[str, Any],
        trials: int | None = None,
        seed: int = 1,
        order: Callable[[Settings], Any] | None = None,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.path, self.space = path.resolve(), space
        self._trials, self._seed, self._poll_seconds = trials, seed, poll_seconds
        self._distributions = space.distributions()
        key = {"about": about, "space": repr(space.dimensions), "sampler": space.sampler, "seed": seed}
        name = f"{'_'.join(space.names)} {fingerprint(key)[:16]}"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._claiming = JournalFileOpenLock(f"{self.path}{_CLAIM}", grace_period=_CLAIM_GRACE_SECONDS)
        self._presence = Presence(self.path.with_name(f"{self.path.name}.workers"))
        self._remove_orphaned_locks()
        with _held(self._claiming):
            self._presence.forget()
            self._study = _open(self.path, name)
            if space.sampler == "grid":
                self._queue_grid(order)

    def _remove_orphaned_locks(self) -> None:
        """Remove locks that a killed process has left, rather than wait until they are old enough to be taken away.

        Every process makes its file in the folder of workers before it takes a lock: of one that has been there before
        nobody else was, the holder is gone. Nobody else removes such a lock meanwhile, since we are there.
        """
        locks = [Path(f"{self.path}{lock}.lock") for lock in ("", _CLAIM)]
        left = [path for path in locks if path.exists()]
        if left and self._presence.is_alone():
            for path in left:
                path.unlink(missing_ok=True)

    def __enter__(self) -> SharedStudy:
        return self

    def __exit__(self, *_: object) -> None:
        self._presence.close()

    def claims(self) -> Iterator[Claim]:
        """What this process is to measure, one after the other, until all is measured by somebody.

        What is not finished or failed when the process ends is given to another.
        """
        waits = False
        while True:
            with _held(self._claiming):
                self._take_over()
                trial = self._next()
                if trial is not None:
                    trial.set_user_attr("worker", self._presence.name)
            if trial is not None:
                waits = False
                yield Claim(self.space.settle(trial.params), trial)
                continue
            others = len(self._found(TrialState.RUNNING))
            if not others:
                return
            if not waits:
                print(f"waiting for {others} combination(s) that other processes are at", flush=True)
            waits = True
            time.sleep(self._poll_seconds)

    def finish(self, claim: Claim, score: float, row: Row) -> None:
        """Keep what was measured.

        Args:
            score: what is to be highest.
            row: figures to remember, as JSON.
        """
        try:
            claim.trial.set_user_attr("row", row)
            self._study.tell(claim.trial, score)
        except UpdateFinishedTrialError:
            return  # so long a silence that another process has taken it over: its figures count

    def fail(self, claim: Claim, reason: str) -> None:
        """Note that it cannot be measured; a grid has it again when it is started again."""
        try:
            claim.trial.set_user_attr("error", reason)
            self._study.tell(claim.trial, state=TrialState.FAIL)
        except UpdateFinishedTrialError:
            return

    def measured(self) -> list[tuple[Settings, Row]]:
        """Each combination with its figures: in the order of the grid, or of the trials.

        Raises:
            UserError: a grid lacks some, which failed in another process.
        """
        found: dict[str, tuple[Settings, Row]] = {}
        for trial in self._found(TrialState.COMPLETE):
            settings = self.space.settle(trial.params)
            found.setdefault(identity(settings), (settings, trial.user_attrs["row"]))
        if self.space.sampler != "grid":
            return list(found.values())
        missing = [settings for settings in self.space.combinations() if identity(settings) not in found]
        if missing:
            errors = [trial.user_attrs.get("error") for trial in self._found(TrialState.FAIL)]
            raise UserError(
                f"{len(missing)} combination(s) failed in another process ({next(filter(None, errors), 'no reason')}): "
                "run the same command again, what is finished is kept."
            )
        return [found[identity(settings)] for settings in self.space.combinations()]

    def _found(self, *states: TrialState) -> Sequence[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states)

    def _started(self, but: FrozenTrial | None = None) -> set[str]:
        """The combinations that are done, or will be, by other trials than ``but``."""
        trials = [trial for trial in self._found(*_STARTED) if but is None or trial.number != but.number]
        return {identity(settings) for settings in map(self._settings, trials) if settings is not None}

    def _settings(self, trial: FrozenTrial) -> Settings | None:
        """None where its process was killed while it was drawn."""
        params = trial.system_attrs.get("fixed_params", trial.params)
        return self.space.settle(params) if set(params) == set(self.space.names) else None

    def _queue_grid(self, order: Callable[[Settings], Any] | None) -> None:
        """Put what was not tried, or failed, into the queue."""
        started = self._started()
        for settings in sorted(self.space.combinations(), key=order or (lambda _: 0)):
            if identity(settings) not in started:
                self._study.enqueue_trial(settings)

    def _take_over(self) -> None:
        """Queue again what processes were at that are gone."""
        for trial in self._found(TrialState.RUNNING):
            worker = trial.user_attrs.get("worker")  # none: it was killed before it could write its name
            if worker is not None and not self._presence.is_gone(worker):
                continue
            settings = self._settings(trial)
            if settings is not None and identity(settings) not in self._started(but=trial):
                self._study.enqueue_trial(settings)
            self._study.tell(trial.number, state=TrialState.FAIL)

    def _next(self) -> Trial | None:
        if self._found(TrialState.WAITING):
            return self._study.ask(self._distributions)
        started = self._started()
        if self._trials is None or len(started) >= self._trials:
            return None
        return self._draw(started)

    def _draw(self, started: set[str]) -> Trial | None:
        """A new combination from the sampler; None where there is no other."""
        # As many seeds as combinations: an interrupted search draws what an uninterrupted one does.
        seed = (self._seed * 1_000_003 + len(started)) % 2**32
        kind = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}[self.space.sampler]
        self._study.sampler = kind(seed=seed)
        for _ in range(_DRAWS):
            trial = self._study.ask(self._distributions)
            if identity(self.space.settle(trial.params)) not in started:
                return trial
            self._study.tell(trial, state=TrialState.FAIL)
        untried = [each for each in self._others(seed) if identity(each) not in started]
        if not untried:
            return None
        self._study.enqueue_trial(random.Random(seed).choice(untried))
        return self._study.ask(self._distributions)

    def _others(self, seed: int) -> Iterator[Settings]:
        """All combinations there are, or some draws where they cannot be counted."""
        if self.space.is_finite:
            yield from self.space.combinations()
            return
        source = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
        for _ in range(100 * _DRAWS):
            yield self.space.settle(source.ask(self._distributions).params)


def _open(path: Path, name: str) -> optuna.Study:
    # Locks by exclusively made files: they hold on NFS too, and one whose owner was killed is removed after 30 s.
    lock = JournalFileOpenLock(str(path))
    with _held(lock):
        _remove_half_line(path)
    try:
        storage = JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
        return optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is no study, or a damaged one ({error}): remove it, or name another --study; translations and "
            "trainings that are finished are not made again."
        ) from error


def _remove_half_line(path: Path) -> None:
    """What a full disk or a power cut has left of an entry: the next would be joined to it."""
    if not path.exists():
        return
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        with open(path, "r+b") as handle:
            handle.truncate(content.rfind(b"\n") + 1)


@contextmanager
def _held(lock: JournalFileOpenLock) -> Iterator[None]:
    lock.acquire()
    try:
        yield
    finally:
        with suppress(RuntimeError):  # this process was suspended for so long that another has removed the lock
            lock.release()
