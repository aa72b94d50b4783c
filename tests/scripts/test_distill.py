"""Distillation with a real tiny teacher: whole, killed and continued, on a full disk, and with bad input."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nat_plugin.errors import UserError
from nat_plugin.symbols import MASK
from scripts.distill import beside, main
from scripts.lib import distillation
from scripts.lib.binarise import read_binarised
from scripts.lib.generation import generate_command, run_generate
from scripts.lib.prepared_data import PreparedData
from scripts.lib.runs import Run
from scripts.lib.shards import ShardPlan, read_shard, translate_missing, write_shard
from scripts.lib.teacher import (
    EMPTY,
    RESERVED,
    TOO_LONG,
    UNKNOWN,
    TeacherOptions,
    Translation,
    batches_by_tokens,
    find_fault,
)
from tests.helpers import dictionary
from tests.scripts.tiny_training import SIZES, kill, run_script, small_disk, start_script, wait_for

TRAIN_TARGETS = ("bpe/train.bb", "tok/train.bb", "raw/train.bb", "train.aa-bb.bb.bin", "train.aa-bb.bb.idx")


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a data folder, but not what only tells how it was made."""
    skipped = {"distill.json", "preprocess.log"}
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in skipped]
    return {name: path.read_bytes() for path in paths if not (name := str(path.relative_to(folder))).startswith(".")}


@pytest.fixture(scope="module")
def distilled(teacher_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an uninterrupted distillation in six shards makes."""
    output = tmp_path_factory.mktemp("distilled") / "tiny_kd"
    main([str(teacher_run), "--output", str(output), "--shards", "6", "--processes", "1"])
    return output


@pytest.mark.end_to_end
def test_only_the_training_targets_differ(tiny_data: Path, distilled: Path) -> None:
    original, new = contents(tiny_data), contents(distilled)
    assert new.keys() == original.keys() | {"replaced.tsv"}
    assert {name for name in original if original[name] != new[name]} == set(TRAIN_TARGETS)
    assert read_binarised(distilled / "train.aa-bb.bb").sentences == SIZES["train"]
    assert read_binarised(distilled / "train.aa-bb.bb").unknown == 0
    assert new["bpe/train.bb"].count(b"\n") == SIZES["train"]


@pytest.mark.end_to_end
def test_the_record_adds_up(distilled: Path, tiny_data: Path) -> None:
    record = json.loads((distilled / "distill.json").read_text())
    replaced = (distilled / "replaced.tsv").read_text().splitlines()[1:]
    assert record["sentences"] == SIZES["train"]
    assert sum(record["replaced"].values()) == len(replaced)
    assert record["compared_with_original"]["sentences"] == SIZES["train"] - len(replaced)
    assert 0 < record["compared_with_original"]["length_ratio"] < 3
    new, old = ((folder / "bpe" / "train.bb").read_text().splitlines() for folder in (distilled, tiny_data))
    for row in replaced:
        line = int(row.split("\t")[0]) - 1
        assert new[line] == old[line]
    kept = set(range(len(new))) - {int(row.split("\t")[0]) - 1 for row in replaced}
    equal = sum(new[line] == old[line] for line in kept) / len(kept)
    assert record["compared_with_original"]["equal_to_original"] == pytest.approx(equal)


@pytest.mark.end_to_end
def test_the_translations_are_those_of_fairseq_generate(
    teacher_run: Path, tiny_data: Path, distilled: Path, tmp_path: Path
) -> None:
    flags = {"beam": 5, "lenpen": 1.0, "max_len_a": 3, "max_len_b": 10, "max_tokens": 4000}
    checkpoint = Run(teacher_run).averaged_checkpoint
    command = generate_command(tiny_data, checkpoint, task="translation", flags=flags, split="train")
    plain = run_generate(command, tmp_path / "generate.log").hypotheses
    replaced = {int(row.split("\t")[0]) - 1 for row in (distilled / "replaced.tsv").read_text().splitlines()[1:]}
    lines = (distilled / "bpe" / "train.bb").read_text().splitlines()
    assert len(replaced) < SIZES["train"] / 2
    for index, line in enumerate(lines):
        if index not in replaced:
            assert line == plain[index][0].tokens


@pytest.mark.end_to_end
def test_a_finished_distillation_is_not_repeated(
    teacher_run: Path, distilled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (distilled / "distill.json").stat().st_mtime_ns
    left = distilled / distillation.WORK_FOLDER / "shards" / "00000.jsonl"  # killed when it was removing them
    left.parent.mkdir()
    left.touch()
    main([str(teacher_run), "--output", str(distilled), "--shards", "6", "--processes", "1"])
    assert "complete" in capsys.readouterr().err
    assert not left.parent.exists()
    assert (distilled / "distill.json").stat().st_mtime_ns == before


@pytest.mark.end_to_end
def test_killed_and_continued_equals_uninterrupted(
    teacher_run: Path, distilled: Path, tiny_data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "kd"
    words = [str(teacher_run), "--output", str(output), "--shards", "6", "--processes", "2"]
    shards = output / distillation.WORK_FOLDER / "shards"
    process = start_script("distill.py", words)
    wait_for(lambda: len(list(shards.glob("0*.jsonl"))) >= 2, process)
    kill(process)
    assert not (output / "distill.json").exists()
    assert not (output / "train.aa-bb.bb.idx").exists()  # no training can start on half of it
    done = sorted(shards.glob("0*.jsonl"))
    if len(done) > 2:  # the workers may have ended their shard before they died: leave work to do
        done.pop().unlink()
    # Marks in a finished shard show that it is used again, not made again.
    mark, line = mark_shard(done[0])

    assert run_script("distill.py", [*words, "--max-tokens", "500"])[0] == 0  # as is advised where memory ran out
    expected = contents(distilled)
    found = contents(output)
    lines = found["bpe/train.bb"].decode().splitlines()
    assert lines[line] == mark
    lines[line] = expected["bpe/train.bb"].decode().splitlines()[line]
    assert "\n".join(lines) + "\n" == expected["bpe/train.bb"].decode()
    assert found["train.aa-bb.aa.bin"] == (tiny_data / "train.aa-bb.aa.bin").read_bytes()
    assert not shards.exists()


def mark_shard(path: Path) -> tuple[str, int]:
    """Change the first usable translation of a shard's file; what it says now, and of which sentence."""
    header, *rows = path.read_text().splitlines()
    for number, row in enumerate(map(json.loads, rows)):
        if row["fault"] is None:
            row["tokens"] = "t1 t2 t3 t4 t5"
            rows[number] = json.dumps(row)
            path.write_text("\n".join([header, *rows]) + "\n")
            return row["tokens"], row["index"]
    raise AssertionError("no usable translation")


@pytest.mark.end_to_end
def test_of_very_many_sentences_some_are_compared(tiny_data: Path, distilled: Path) -> None:
    data, lines = PreparedData.load(tiny_data), (distilled / "bpe" / "train.bb").read_text().splitlines()
    found = distillation.compare(data, distilled, "train", distillation.Distilled(lines, [], 1.0), most=7)
    assert found["sentences"] == 7
    chosen = [place * len(lines) // 7 for place in range(7)]
    originals = (tiny_data / "bpe" / "train.bb").read_text().splitlines()
    words = [sum(len(text[index].split()) for index in chosen) for text in (lines, originals)]
    assert found["length_ratio"] == words[0] / words[1]


@pytest.mark.end_to_end
def test_parts_by_several_commands_equal_one(
    teacher_run: Path,
    distilled: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As on two nodes: the first part by flag, the second as torchrun starts it; the last to end puts them together."""
    output = tmp_path / "kd"
    words = [str(teacher_run), "--output", str(output), "--shards", "6", "--processes", "1"]
    main([*words, "--part", "1/2"])
    told = capsys.readouterr().err
    assert "part 1/2 is translated; 3 of 6 shards" in told
    assert "other settings" not in told
    assert not (output / "distill.json").exists()
    with monkeypatch.context() as launched:
        for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "1")):
            launched.setenv(name, value)
        main(words)
    assert contents(output) == contents(distilled)
    main([*words, "--part", "1/2"])
    assert "complete" in capsys.readouterr().err
    main([*words, "--part", "1/2", "--beam", "2"])
    told = capsys.readouterr().err
    assert "distill.json is of other settings" in told
    assert "(beam was 5)" in told
    main([*words, "--part", "1/2", "--beam", "1"])
    assert "3 shards in" in capsys.readouterr().err


@pytest.mark.end_to_end
def test_a_full_disk_loses_nothing(teacher_run: Path, distilled: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "24k") as resize:
        output = tmp_path / "disk" / "kd"
        words = [str(teacher_run), "--output", str(output), "--shards", "6", "--processes", "1"]
        status, printed = run_script("distill.py", words)
        assert status == 1
        assert "no space is left" in printed.splitlines()[-1], printed
        assert "Traceback" not in printed
        assert list((output / distillation.WORK_FOLDER / "shards").glob("0*.jsonl"))
        assert not (output / "train.aa-bb.bb.idx").exists()
        resize("20m")
        main(words)
        assert contents(output) == contents(distilled)


class TestShards:
    """The files of the shards."""

    def plan(self, folder: Path, settings: str = "a") -> ShardPlan:
        return ShardPlan(folder, settings, count=3, sentences=7)

    def rows(self, plan: ShardPlan, shard: int) -> list[Translation]:
        return [Translation(index, f"t{index}", None) for index in plan.indices(shard)]

    def test_they_cover_each_sentence_once(self, tmp_path: Path) -> None:
        plan = self.plan(tmp_path)
        assert sorted(index for shard in range(3) for index in plan.indices(shard)) == list(range(7))

    def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        plan = self.plan(tmp_path)
        write_shard(plan, 1, reversed(self.rows(plan, 1)), 2.5)
        assert read_shard(plan, 1) == (self.rows(plan, 1), 2.5)
        assert read_shard(plan, 0) is None

    def test_other_settings_and_damage_are_noticed(self, tmp_path: Path) -> None:
        plan = self.plan(tmp_path)
        write_shard(plan, 1, self.rows(plan, 1), 1.0)
        assert read_shard(self.plan(tmp_path, "b"), 1) is None
        assert read_shard(ShardPlan(tmp_path, "a", count=3, sentences=8), 1) is None
        assert read_shard(ShardPlan(tmp_path, "a", count=2, sentences=7), 1) is None
        whole = plan.path(1).read_bytes()
        for length in range(0, len(whole) - 1, 7):
            plan.path(1).write_bytes(whole[:length])
            assert read_shard(plan, 1) is None, length

    def test_faults_keep_the_original(self, tmp_path: Path) -> None:
        plan = self.plan(tmp_path)
        for shard in range(3):
            rows = self.rows(plan, shard)
            faulty = [Translation(row.index, "", EMPTY) if row.index in (2, 5) else row for row in rows]
            write_shard(plan, shard, faulty, 1.0)
        result = distillation.collect(plan, [f"original {index}" for index in range(7)])
        assert result.targets == ["t0", "t1", "original 2", "t3", "t4", "original 5", "t6"]
        assert result.reasons == {EMPTY: 2}
        assert result.seconds == 3.0
        with pytest.raises(UserError, match="7 binarised sentences but 6 lines"):
            distillation.collect(plan, ["x"] * 6)

    def test_a_missing_shard_is_named(self, tmp_path: Path) -> None:
        plan = self.plan(tmp_path)
        write_shard(plan, 0, self.rows(plan, 0), 1.0)
        with pytest.raises(UserError, match=r"00001\.jsonl is missing"):
            distillation.collect(plan, ["x"] * 7)

    def test_what_is_not_there_yet_is_counted(self, tmp_path: Path) -> None:
        plan = self.plan(tmp_path)
        write_shard(plan, 0, self.rows(plan, 0), 1.0)
        write_shard(self.plan(tmp_path, "b"), 1, self.rows(plan, 1), 1.0)  # left by other settings
        assert plan.unwritten() == 2

    def test_data_of_another_size_are_refused(self, tmp_path: Path, teacher_run: Path, tiny_data: Path) -> None:
        checkpoint = str(Run(teacher_run).averaged_checkpoint)
        options = TeacherOptions(checkpoint, str(tiny_data), "valid", beam=2, lenpen=1.0, max_tokens=100, fp16=False)
        with pytest.raises(UserError, match="has 12 sentences in split valid, not 7"):
            translate_missing(self.plan(tmp_path), range(3), options, ["cpu"])


def test_batches_hold_every_sentence_within_the_limit() -> None:
    lengths = sorted(torch.randint(1, 30, (200,)).tolist(), reverse=True)
    batches = list(batches_by_tokens(range(200), lengths, 60))
    assert [index for batch in batches for index in batch] == list(range(200))
    for batch in batches:
        assert len(batch) * max(lengths[index] for index in batch) <= 60
    assert list(batches_by_tokens([4, 2], [100, 5], 60)) == [[4], [2]]


def test_every_fault_is_found() -> None:
    words = dictionary()
    good = [words.index("w1"), words.index("w2")]
    assert find_fault(good, 2, words) is None
    assert find_fault([], 2, words) == EMPTY
    assert find_fault(good, 1, words) == TOO_LONG
    assert find_fault([good[0], words.unk()], 2, words) == UNKNOWN
    assert find_fault([words.index(MASK)], 2, words) == RESERVED
    assert find_fault([words.pad()], 2, words) == RESERVED


class TestBadInput:
    """Each mistake gets a clear sentence, before anything is translated."""

    def copied(self, source: Path, folder: Path, change: Callable[[Path], None]) -> Path:
        shutil.copytree(source, folder)
        change(folder)
        return folder

    def test_a_non_autoregressive_run(self, teacher_run: Path, tmp_path: Path) -> None:
        def change(folder: Path) -> None:
            config = (folder / "config.yaml").read_text()
            (folder / "config.yaml").write_text(config.replace("kind: autoregressive", "kind: non_autoregressive"))

        with pytest.raises(UserError, match="no autoregressive teacher"):
            main([str(self.copied(teacher_run, tmp_path / "run", change))])

    def test_no_run_directory(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no run directory"):
            main([str(tmp_path)])

    def test_an_unknown_split(self, teacher_run: Path, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"nosuch\.aa-bb\.aa"):
            main([str(teacher_run), "--output", str(tmp_path / "kd"), "--split", "nosuch", "--processes", "1"])

    def test_the_original_is_not_overwritten(self, teacher_run: Path, tiny_data: Path) -> None:
        with pytest.raises(UserError, match="folder of the original data"):
            main([str(teacher_run), "--output", str(tiny_data)])

    def test_other_data_are_not_overwritten(self, teacher_run: Path, tmp_path: Path) -> None:
        (tmp_path / "prepare.json").write_text("{}")
        with pytest.raises(UserError, match="holds other data, which would be written over"):
            main([str(teacher_run), "--output", str(tmp_path)])

    def test_the_folder_one_stands_in_has_a_name(
        self, teacher_run: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tiny_data)
        assert beside(Path()) == tiny_data.resolve().with_name(f"{tiny_data.name}_kd")

    @pytest.mark.parametrize("flag", ["--beam", "--shards", "--processes", "--max-tokens"])
    def test_numbers_out_of_range(self, teacher_run: Path, flag: str) -> None:
        with pytest.raises(UserError, match=f"{flag} must be at least 1"):
            main([str(teacher_run), flag, "0"])

    def test_half_precision_on_a_cpu(self, teacher_run: Path) -> None:
        with pytest.raises(UserError, match="--fp16 needs a CUDA GPU"):
            main([str(teacher_run), "--fp16", "--cpu"])

    @pytest.mark.end_to_end
    def test_text_that_is_not_what_was_binarised(self, distilled: Path, tiny_data: Path, tmp_path: Path) -> None:
        def change(folder: Path) -> None:
            lines = (folder / "bpe" / "train.aa").read_text().splitlines()
            (folder / "bpe" / "train.aa").write_text("\n".join([lines[1], lines[0], *lines[2:]]) + "\n")

        data = PreparedData.load(self.copied(tiny_data, tmp_path / "data", change))
        targets = (distilled / "bpe" / "train.bb").read_text().splitlines()
        result = distillation.Distilled(targets, [], 1.0)
        with pytest.raises(UserError, match="not the text"):
            distillation.write_data(data, tmp_path / "kd", "train", result, workers=1)
        assert not (tmp_path / "kd" / "train.aa-bb.bb.idx").exists()
