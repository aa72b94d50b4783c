"""Real trainings of a tiny model: to the end, killed and continued, on a full disk, by two processes, gone wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nat_plugin.errors import UserError
from scripts.lib.averaging import load_checkpoint, updates_done
from scripts.lib.runs import Run, config_differences
from scripts.lib.training_log import explain_failure
from scripts.train import average
from tests.checkpoints import STATE
from tests.scripts.tiny_training import (
    TEACHER_UPDATES,
    assert_same_parameters,
    kill,
    parameters,
    run_script,
    settings,
    small_disk,
    start_script,
    train,
    wait_for,
)


def fingerprints(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file's size and time of writing."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.end_to_end
def test_a_finished_training_is_whole_and_not_repeated(
    tiny_data: Path, teacher_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(teacher_run)
    assert updates_done(load_checkpoint(run.last_checkpoint)) == TEACHER_UPDATES
    assert run.read_config()["fairseq"]["encoder_embed_dim"] == 16
    assert "fairseq-train" in run.command_file.read_text()
    assert len(list(run.checkpoints.glob("checkpoint.best_loss_*.pt"))) == 5
    by_hand = [parameters(path) for path in run.checkpoints.glob("checkpoint.best_loss_*.pt")]
    assert len(run.averaged_from()) == 5
    for name, value in parameters(run.averaged_checkpoint).items():
        torch.testing.assert_close(value, torch.stack([model[name] for model in by_hand]).mean(0))

    before = fingerprints(run.checkpoints) | {"log": (run.log_file.stat().st_size, run.log_file.stat().st_mtime_ns)}
    train(settings(tiny_data, teacher_run, max_update=TEACHER_UPDATES))
    assert "the training is finished" in capsys.readouterr().err
    after = fingerprints(run.checkpoints) | {"log": (run.log_file.stat().st_size, run.log_file.stat().st_mtime_ns)}
    assert before == after


@pytest.mark.end_to_end
def test_the_average_follows_its_count(tiny_data: Path, teacher_run: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    shutil.copytree(teacher_run, run.folder)
    train([*settings(tiny_data, run.folder, max_update=TEACHER_UPDATES), "average.count=1"])
    [best] = run.averaged_from()
    assert_same_parameters(run.averaged_checkpoint, run.checkpoints / best)
    assert_same_parameters(run.averaged_checkpoint, run.checkpoints / "checkpoint_best.pt")


def test_an_average_that_is_cut_short_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """averaged.json never names other checkpoints than those that averaged.pt is made of."""
    run, chosen = Run(tmp_path), {"kind": "last", "count": 1}
    run.checkpoints.mkdir()
    for name in ("checkpoint1.pt", "checkpoint2.pt"):
        torch.save(STATE | {"model": {"weight": torch.tensor([float(name[10])])}}, run.checkpoints / name)
    average({**chosen, "count": 2}, run)
    assert run.averaged_from() == ["checkpoint2.pt", "checkpoint1.pt"]
    with monkeypatch.context() as patch:  # killed when the new average was written
        patch.setattr("scripts.train.write_json", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            average(chosen, run)
    average({**chosen, "count": 2}, run)
    assert parameters(run.averaged_checkpoint)["weight"].tolist() == [1.5]


@pytest.mark.end_to_end
def test_the_best_by_bleu_and_the_last_are_averaged(tiny_data: Path, tmp_path: Path) -> None:
    by_bleu, last = Run(tmp_path / "bleu"), Run(tmp_path / "last")
    train([*settings(tiny_data, by_bleu.folder, "cmlm_axe", max_update=9), "average.metric=bleu"])
    names = by_bleu.averaged_from()
    assert names
    assert all(name.startswith("checkpoint.best_bleu_") for name in names)
    assert '"valid_bleu"' in by_bleu.log_file.read_text()
    train(
        [
            *settings(tiny_data, last.folder, "cmlm_ce", max_epoch=3, max_update=99),
            "average.kind=last",
            "average.count=2",
        ]
    )
    assert last.averaged_from() == ["checkpoint3.pt", "checkpoint2.pt"]
    assert not (last.checkpoints / "checkpoint1.pt").exists()


def test_bleu_is_refused_where_fairseq_cannot_measure_it(tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="translation_lev"):
        train([*settings(tiny_data, tmp_path / "run", "stock_cmlm"), "average.metric=bleu"])


@pytest.mark.end_to_end
def test_every_sentence_counts(teacher_run: Path) -> None:
    # With fairseq's default batch multiple the last sentences, fewer than 8, would be left out of every epoch.
    lines = [line for line in Run(teacher_run).log_file.read_text().splitlines() if "| train |" in line]
    first = json.loads(lines[0].split("| train | ")[1])
    batches = int(first["train_num_updates"])
    assert float(first["train_bsz"]) * batches == pytest.approx(60, abs=0.05 * batches)


@pytest.mark.end_to_end
def test_killed_and_continued_equals_uninterrupted(tiny_data: Path, teacher_run: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    words = settings(tiny_data, run.folder, max_update=TEACHER_UPDATES)
    process = start_script("train.py", words)
    wait_for(run.last_checkpoint.exists, process)
    kill(process)
    # Whatever is half-written does no harm.
    (run.checkpoints / "checkpoint_best.pt.tmp").write_bytes(b"half")
    with run.locked():
        pass  # nobody works there any more
    assert 0 < updates_done(load_checkpoint(run.last_checkpoint)) < TEACHER_UPDATES
    assert not run.averaged_checkpoint.exists()

    train(words)
    assert not list(run.checkpoints.glob("*.tmp"))
    assert_same_parameters(run.last_checkpoint, Run(teacher_run).last_checkpoint)
    assert_same_parameters(run.averaged_checkpoint, Run(teacher_run).averaged_checkpoint)


@pytest.mark.end_to_end
def test_a_rate_that_falls_to_zero_is_continued_exactly_and_not_stretched(tiny_data: Path, tmp_path: Path) -> None:
    """schedule=linear: where it stands follows from the update alone, and its end from max_update."""
    whole, parted = Run(tmp_path / "whole"), Run(tmp_path / "parted")

    def words(run: Run, updates: int = 30) -> list[str]:
        return [*settings(tiny_data, run.folder, "ctc", max_update=updates), "schedule=linear"]

    train(words(whole))
    lines = [line for line in whole.log_file.read_text().splitlines() if "| train_inner |" in line]
    rates = [float(line.split('"lr": "')[1].split('"')[0]) for line in lines]
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[1] > 0.009
    assert rates[-1] < 0.001
    assert len(whole.averaged_from()) == 1

    process = start_script("train.py", words(parted))
    wait_for(parted.last_checkpoint.exists, process)
    kill(process)
    assert 0 < updates_done(load_checkpoint(parted.last_checkpoint)) < 30
    train(words(parted))
    assert_same_parameters(parted.averaged_checkpoint, whole.averaged_checkpoint)
    with pytest.raises(UserError, match=r"fairseq\.total_num_update was 30, now 40"):
        train(words(parted, 40))


@pytest.mark.end_to_end
def test_killed_after_its_last_checkpoint_it_does_not_train_on(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path / "run")
    words = settings(tiny_data, run.folder, max_update=4)
    train(words)
    expected = fingerprints(run.checkpoints)
    run.finished_file.unlink()
    train(words)
    assert "going on after 4 updates" in capsys.readouterr().err
    assert fingerprints(run.checkpoints) == expected


@pytest.mark.end_to_end
def test_a_full_disk_loses_nothing(tiny_data: Path, teacher_run: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "420k") as resize:  # room for three of the checkpoints
        run = Run(tmp_path / "disk" / "run")
        words = settings(tiny_data, run.folder, max_update=TEACHER_UPDATES)
        status, output = run_script("train.py", words)
        assert status != 0
        assert "could not be written" in output.splitlines()[-1], output
        assert "see to it that the disk has space" in output.splitlines()[-1], output
        assert "Traceback" not in output
        before = updates_done(load_checkpoint(run.last_checkpoint)) if run.last_checkpoint.exists() else 0
        assert before < TEACHER_UPDATES
        resize("20m")
        train(words)
        assert_same_parameters(run.last_checkpoint, Run(teacher_run).last_checkpoint)
        assert_same_parameters(run.averaged_checkpoint, Run(teacher_run).averaged_checkpoint)


@pytest.mark.end_to_end
def test_two_processes_on_a_cpu_train_and_continue(tiny_data: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    words = [*settings(tiny_data, run.folder, max_update=4), "machine.processes=2"]
    train(words)
    first = parameters(run.last_checkpoint)
    train([*words, "fairseq.max_update=8"])
    assert updates_done(load_checkpoint(run.last_checkpoint)) == 8
    assert any(not torch.equal(value, first[name]) for name, value in parameters(run.last_checkpoint).items())
    assert (run.folder / "train.rank1.log").stat().st_size > 0
    assert run.command_file.read_text().count("--distributed-rank") == 2


@pytest.mark.end_to_end
@pytest.mark.slow
def test_torchrun_gives_what_two_own_processes_give(tiny_data: Path, tmp_path: Path) -> None:
    own, other = Run(tmp_path / "own"), Run(tmp_path / "torchrun")
    train([*settings(tiny_data, own.folder, max_update=4), "machine.processes=2"])
    torchrun = Path(sys.executable).with_name("torchrun")
    command = [str(torchrun), "--standalone", "--nproc-per-node", "2", "scripts/train.py"]
    subprocess.run([*command, *settings(tiny_data, other.folder, max_update=4)], check=True, timeout=300)
    assert_same_parameters(own.last_checkpoint, other.last_checkpoint)


@pytest.mark.end_to_end
def test_a_loss_that_is_not_finite_gets_one_sentence(tiny_data: Path, tmp_path: Path) -> None:
    status, output = run_script("train.py", settings(tiny_data, tmp_path / "run", lr=1e30, warmup_updates=1))
    assert status == 2
    last = output.splitlines()[-1]
    assert last.startswith("error: ")
    assert "fairseq.lr" in last or "--lr" in last
    assert "Traceback" not in output


@pytest.mark.end_to_end
def test_a_flag_fairseq_does_not_know_is_named(tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no-such-flag"):
        train(settings(tiny_data, tmp_path / "run", no_such_flag=3))


def test_a_truncated_checkpoint_is_named_before_anything_starts(
    tiny_data: Path, teacher_run: Path, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run")
    run.checkpoints.mkdir(parents=True)
    run.last_checkpoint.write_bytes(Run(teacher_run).last_checkpoint.read_bytes()[:50_000])
    with pytest.raises(UserError, match=r"checkpoint_last\.pt.*truncated.*checkpoint_best"):
        train(settings(tiny_data, run.folder))
    assert not run.log_file.exists()


def test_another_configuration_in_the_same_directory_is_refused(tiny_data: Path, teacher_run: Path) -> None:
    with pytest.raises(UserError, match=r"fairseq\.lr was 0\.01, now 0\.5"):
        train(settings(tiny_data, teacher_run, max_update=TEACHER_UPDATES, lr=0.5))
    with pytest.raises(UserError, match=r"fairseq\.max_update was 60, now 2"):
        train(settings(tiny_data, teacher_run, max_update=2))


def test_a_training_that_never_began_binds_nobody(tmp_path: Path) -> None:
    """After a misspelled flag, say."""
    run = Run(tmp_path / "run")
    run.checkpoints.mkdir(parents=True)
    run.write_config({"fairseq": {"upsample_scal": 2}})
    run.check_continues({"fairseq": {"upsample_scale": 2}})
    (run.checkpoints / "checkpoint_last.pt").touch()
    with pytest.raises(UserError, match="was made with another configuration"):
        run.check_continues({"fairseq": {"upsample_scale": 2}})


def test_only_the_end_may_move_and_only_outwards() -> None:
    old = {"fairseq": {"max_update": 10, "patience": None, "log_interval": 5}, "machine": {"max_tokens": 1}}
    free = {"fairseq": {"max_update": 20, "patience": None, "log_interval": 1}, "machine": {"max_tokens": 2}}
    assert config_differences(old, free) == []
    # what the data offers to methods that choose among targets; what one takes stands under fairseq
    assert config_differences(old, {**old, "data": {"candidates": ["folder"], "candidate_weights": [1, 1]}}) == []
    changed = {**old, "fairseq": {"max_update": 5, "patience": 3, "dropout": 0.1, "log_interval": 5}}
    assert config_differences(old, changed) == [
        "fairseq.dropout was None, now 0.1",
        "fairseq.max_update was 10, now 5",
        "fairseq.patience was None, now 3",
    ]


def test_one_training_at_a_time(tiny_data: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    with run.locked(), pytest.raises(UserError, match="another process is working in"):
        train(settings(tiny_data, run.folder))


def test_missing_data_are_named(tiny_data: Path, tmp_path: Path) -> None:
    incomplete = tmp_path / "data"
    incomplete.mkdir()
    for name in ("prepare.json", "dict.aa.txt", "dict.bb.txt", "valid.aa-bb.aa.idx", "valid.aa-bb.bb.idx"):
        (incomplete / name).write_bytes((tiny_data / name).read_bytes())
    with pytest.raises(UserError, match=r"lacks train\.aa-bb\.aa\.idx, train\.aa-bb\.bb\.idx"):
        train(settings(incomplete, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_dynamic_kd_is_refused_without_its_folders(tiny_data: Path, tmp_path: Path) -> None:
    words = settings(tiny_data, tmp_path / "run", "vanilla_glat_dynamic_kd")
    with pytest.raises(UserError, match="no folder nowhere of candidate targets: make it with scripts/distill"):
        train([*words, f"data.candidates=[{tiny_data},nowhere]"])
    assert not (tmp_path / "run").exists()


def test_a_dry_run_prints_the_command_and_writes_nothing(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train([*settings(tiny_data, tmp_path / "run"), "--dry-run"])
    captured = capsys.readouterr()
    assert f"fairseq-train {tiny_data} --user-dir " in captured.out
    assert "200 tokens" in captured.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("lines", "status", "part"),
    [
        (["x", "error: the dictionary lacks <mask>: prepare the data again."], 2, "the dictionary lacks <mask>"),
        (["torch.cuda.OutOfMemoryError: CUDA out of memory."], 1, "machine.max_tokens"),
        (["FloatingPointError: Minimum loss scale reached (0.0001)."], 1, "bf16"),
        (["error: training stopped because gradients are Nan: …; lower --lr."], 1, "run=OTHER_DIRECTORY"),
        (["OSError: [Errno 28] No space left on device"], 1, "no space is left"),
        (["OSError: [Errno 122] Disk quota exceeded"], 1, "no space is left"),
        (["AssertionError: sentence at index 3 of size 9 exceeds max_tokens limit of 5!"], 1, "batch_tokens"),
        (["KeyError: 'x'"], 1, "KeyError: 'x'"),
        ([], -9, "signal 9"),
    ],
)
def test_failures_are_explained(lines: list[str], status: int, part: str) -> None:
    sentence = explain_failure(lines, status, Path("run/train.log"))
    assert part in sentence
    assert "\n" not in sentence
