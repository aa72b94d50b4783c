"""A study that processes share: nothing is done twice, and nothing is lost when one of them is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nat_plugin.errors import UserError
from scripts.lib.tuning import presence
from scripts.lib.tuning.presence import Presence
from scripts.lib.tuning.space import Space, identity
from scripts.lib.tuning.study import SharedStudy
from tests.scripts.lib.tuning import worker
from tests.scripts.tiny_training import ROOT, wait_for

GRID = [{"a": a, "b": b} for a in range(5) for b in (0.0, 0.5)]


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.scripts.lib.tuning.worker", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def begun(log: Path) -> list[str]:
    """What all workers have begun, in order."""
    return [identity(json.loads(line)) for line in log.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("sampler", ["grid", "tpe"])
def test_a_killed_worker_changes_nothing(sampler: str, tmp_path: Path) -> None:
    journal, log, hanging = tmp_path / "killed.journal", tmp_path / "log", tmp_path / "hanging"
    process = start(journal, sampler, log, hanging)
    wait_for(hanging.exists, process)
    process.kill()
    process.communicate()
    with open(journal, "a", encoding="utf-8") as handle:
        handle.write('{"half a li')  # as a full disk leaves it
    assert len(begun(log)) == 4
    with worker.study(journal, sampler) as shared:
        rest = worker.work(shared, log)
        found = shared.measured()
    with worker.study(tmp_path / "whole.journal", sampler) as whole:
        worker.work(whole, tmp_path / "whole.log")
        assert found == whole.measured()
    killed = begun(log)[3]
    assert killed in map(identity, rest), "what it was at is done again"
    assert sorted(begun(log)) == sorted([*begun(tmp_path / "whole.log"), killed]), "and nothing else is"


def test_a_lock_of_a_killed_process_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = tmp_path / "killed.journal"
    locks = [tmp_path / f"killed.journal{name}.lock" for name in ("", ".claim")]
    with worker.study(journal, "grid"):
        pass
    for lock in locks:
        lock.touch()
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waits for the lock"))
    with worker.study(journal, "grid"):
        assert not any(lock.exists() for lock in locks)
        for lock in locks:
            lock.touch()
        with pytest.raises(pytest.fail.Exception, match="it waits for the lock"):
            worker.study(journal, "grid")  # the first is there, and may hold it
        assert all(lock.exists() for lock in locks)


@pytest.mark.parametrize("sampler", ["grid", "tpe"])
def test_two_workers_do_nothing_twice(sampler: str, tmp_path: Path) -> None:
    journal, log = tmp_path / "shared.journal", tmp_path / "log"
    workers = [start(journal, sampler, log) for _ in range(2)]
    outputs = [process.communicate(timeout=200)[0] for process in workers]
    assert [process.returncode for process in workers] == [0, 0]
    found = [json.loads(output.splitlines()[-1]) for output in outputs]
    assert found[0]["all"] == found[1]["all"], "each knows all in the end"
    assert all(each["own"] for each in found), "both have worked"
    expected = len(GRID) if sampler == "grid" else worker.TRIALS
    assert len(begun(log)) == len(set(begun(log))) == len(found[0]["all"]) == expected


def test_a_grid_is_measured_in_the_order_asked_for_and_told_in_its_own(tmp_path: Path) -> None:
    space = Space.parse(worker.GRID, "grid")
    shared = SharedStudy(tmp_path / "x.journal", space, about={}, order=lambda settings: settings["b"])
    with shared:
        done = worker.work(shared, tmp_path / "log")
        assert [settings for settings, _ in shared.measured()] == GRID
    assert done == sorted(GRID, key=lambda settings: settings["b"])
    with SharedStudy(tmp_path / "x.journal", space, about={}) as again:
        assert worker.work(again, tmp_path / "log") == []
    with SharedStudy(tmp_path / "x.journal", space, about={"checkpoint": "another"}) as other:
        assert worker.work(other, tmp_path / "log") == GRID, "other figures are another search"


def test_a_sampler_ends_when_a_finite_space_does(tmp_path: Path) -> None:
    space = Space.parse(["a=1,2,x", "b=1.00:1.10:0.05"], "tpe")
    with SharedStudy(tmp_path / "x.journal", space, about={}, trials=30) as shared:
        for claim in shared.claims():
            shared.finish(claim, 1.0, {"bleu": 1.0})
        found = [settings for settings, _ in shared.measured()]
    assert sorted(map(identity, found)) == sorted(map(identity, space.combinations()))


def test_tpe_goes_where_the_scores_are(tmp_path: Path) -> None:
    space = Space.parse(["a=0:1000"], "tpe")
    with SharedStudy(tmp_path / "x.journal", space, about={}, trials=30) as shared:
        for claim in shared.claims():
            shared.finish(claim, -abs(claim.settings["a"] - 700), {})
        found = [settings["a"] for settings, _ in shared.measured()]
    assert min(abs(a - 700) for a in found) < 20
    assert sum(abs(a - 700) < 200 for a in found[10:]) > 10, "after ten draws at random"


def test_what_failed_is_told_and_tried_again(tmp_path: Path) -> None:
    space = Space.parse(["a=1,2"], "grid")
    with SharedStudy(tmp_path / "x.journal", space, about={}) as shared:
        claims = shared.claims()
        shared.fail(next(claims), "the disk is full")
        shared.finish(next(claims), 2.0, {"bleu": 2.0})
        assert list(claims) == []
        with pytest.raises(UserError, match=r"1 combination\(s\) failed in another process \(the disk is full\)"):
            shared.measured()
    with SharedStudy(tmp_path / "x.journal", space, about={}) as again:
        [claim] = [claim for claim in again.claims() if again.finish(claim, 1.0, {"bleu": 1.0}) is None]
        assert claim.settings == {"a": 1}
        assert [row["bleu"] for _, row in again.measured()] == [1.0, 2.0]


def test_a_damaged_study_is_refused(tmp_path: Path) -> None:
    journal = tmp_path / "x.journal"
    journal.write_text("no journal\nat all\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"x\.journal is no study, or a damaged one"):
        SharedStudy(journal, Space.parse(["a=1"], "grid"), about={})


def test_a_worker_of_another_machine_is_gone_when_it_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = Presence(tmp_path), tmp_path / "there"
    there.write_text("another machine", encoding="utf-8")
    assert not here.is_gone("there"), "its file is new"
    old = time.time() - presence.SILENT_SECONDS - 60
    os.utime(there, (old, old))
    assert here.is_gone("there")
    monkeypatch.setattr(presence, "take_lock", lambda handle, **options: False)
    assert not here.is_gone("there"), "it holds its lock, and is only suspended"
    here.close()
    assert Presence(tmp_path).is_gone(here.name)


def test_a_worker_renews_its_file(tmp_path: Path) -> None:
    here = Presence(tmp_path, beat_seconds=0.01)
    os.utime(tmp_path / here.name, (0, 0))
    end = time.monotonic() + 20
    while (tmp_path / here.name).stat().st_mtime < 1:
        assert time.monotonic() < end
        time.sleep(0.01)
    here.close()
