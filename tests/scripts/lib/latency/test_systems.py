"""RUN:flag=value,… as it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nat_plugin.errors import UserError
from scripts.lib.latency.systems import SystemSpec, plan_systems
from tests.scripts import tiny_training
from tests.scripts.untrained_runs import make_run


@pytest.mark.parametrize(
    ("text", "path", "flags", "name", "checkpoint"),
    [
        ("runs/a", "runs/a", {}, None, None),
        ("runs/a:iterations=10", "runs/a", {"iterations": 10}, None, None),
        (
            "runs/a:length-candidates=5,fp16=true,name=five, in half precision",
            "runs/a",
            {"length_candidates": 5, "fp16": True},
            "five, in half precision",
            None,
        ),
        ("C:/runs/a:b:--beam=1,checkpoint=last.pt", "C:/runs/a:b", {"beam": 1}, None, "last.pt"),
        ("a.pt:ngram_lm_path=x/y=z,name=3", "a.pt", {"ngram_lm_path": "x/y=z"}, "3", None),
    ],
)
def test_reads(text: str, path: str, flags: dict[str, Any], name: str | None, checkpoint: str | None) -> None:
    assert SystemSpec.parse(text) == SystemSpec(Path(path), flags, name, checkpoint)


@pytest.mark.parametrize("flag", ["batch_size=1", "max-tokens=100", "cpu=true", "nbest=2", "bf16=true"])
def test_refuses_what_the_measures_decide(flag: str) -> None:
    with pytest.raises(UserError, match=f"sets {flag.split('=')[0].replace('-', '_')}: "):
        SystemSpec.parse(f"RUN:{flag}")


def test_refuses_a_value_that_is_no_yaml() -> None:
    with pytest.raises(UserError, match=r"'beam=\[1' has a value that cannot be read"):
        SystemSpec.parse("RUN:beam=[1")


def plan(*systems: str, data: Path | None = None) -> list[Any]:
    return plan_systems([SystemSpec.parse(text) for text in systems], split="test", data=data, tokenizer=None)


def test_the_runs_own_flags_and_those_given(tiny_data: Path, tmp_path: Path) -> None:
    run = make_run(tiny_data, tmp_path / "run", "teacher")
    plain, greedy, alone = plan(f"{run}", f"{run}:beam=1,name=greedy", f"{run}/checkpoints/checkpoint_last.pt")
    assert (plain.flags["beam"], greedy.flags["beam"], alone.flags["beam"]) == (5, 1, 5)
    assert [greedy.system, alone.system] == ["greedy", f"{plain.system}, checkpoint_last.pt"]
    assert plain.checkpoint == greedy.checkpoint == alone.checkpoint == run / "checkpoints" / "checkpoint_last.pt"


def test_what_was_tuned_beside_a_run(tiny_data: Path, tmp_path: Path) -> None:
    run = make_run(tiny_data, tmp_path / "run", "ctc")
    (run / "tuned.json").write_text('{"blank_penalty": 1.0}')
    (tmp_path / "tune.json").write_text('{"winner": {"blank_penalty": 2.5}, "curve": []}')
    stored, tuned = plan(str(run), f"{run}:tuned={tmp_path / 'tune.json'},name=tuned")
    assert (stored.flags["blank_penalty"], tuned.flags["blank_penalty"], tuned.system) == (1.0, 2.5, "tuned")
    with pytest.raises(UserError, match="there is no such file; make it with scripts/tune"):
        plan(f"{run}:tuned={tmp_path / 'nothing.json'}")


def test_a_checkpoint_without_a_run_says_itself_how_to_translate(tiny_data: Path, tmp_path: Path) -> None:
    run = make_run(tiny_data, tmp_path / "run", "ctc")
    moved = (run / "checkpoints" / "checkpoint_last.pt").rename(tmp_path / "model.pt")
    [found] = plan(str(moved))
    assert (found.model.task, found.model.method, found.data.folder) == ("nat_translation", "ctc_base", tiny_data)
    assert found.flags == {"source_lang": "aa", "target_lang": "bb"}


def test_a_file_that_is_no_checkpoint_of_a_translation_task(tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    file.write_text("no model")
    with pytest.raises(UserError, match=r"model\.pt"):
        plan(str(file))


def test_two_names_or_two_test_sets_are_refused(tiny_data: Path, tmp_path: Path) -> None:
    run = make_run(tiny_data, tmp_path / "run", "teacher")
    with pytest.raises(UserError, match="two systems are called"):
        plan(str(run), str(run))
    other_data = tiny_training.make_data(tmp_path / "other", seed=2)
    other = make_run(other_data, tmp_path / "other_run", "ctc")
    with pytest.raises(UserError, match="not of the same test set"):
        plan(str(run), str(other))
    assert len(plan(str(run), str(other), data=tiny_data)) == 2
