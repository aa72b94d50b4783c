"""What the doctor says of data that were spoilt in one place."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nat_plugin.errors import UserError
from nat_plugin.files import write_json
from scripts.lib.doctor.data import examine_data
from scripts.lib.doctor.findings import Finding, Level
from scripts.lib.doctor.folder import DataFolder, Side
from tests.scripts import tiny_training
from tests.scripts.tiny_training import SOURCE, TARGET

PAIR = f"{SOURCE}-{TARGET}"


@pytest.fixture
def data(tiny_data: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_data, tmp_path / "data"))


def examine(folder: Path) -> list[Finding]:
    return list(examine_data(DataFolder.open(folder)))


def only(findings: list[Finding], level: Level) -> Finding:
    [found] = [finding for finding in findings if finding.level is level]
    return found


def edit(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("".join(f"{line}\n" for line in change(lines)), encoding="utf-8")


def dictionaries(data: Path) -> list[Path]:
    return [data / f"dict.{language}.txt" for language in (SOURCE, TARGET)]


def test_sound_data(data: Path) -> None:
    findings = examine(data)
    assert {finding.level for finding in findings} <= {Level.GOOD, Level.NOTE}
    assert not [finding for finding in findings if finding.level is Level.NOTE and "also stand" not in finding.text]
    told = " ".join(finding.text for finding in findings)
    for sentence in ("one dictionary of", "60 sentences", "raw: no distill.json", "valid: the binarised targets are"):
        assert sentence in told


def test_plain_fairseq_data_say_their_languages_by_their_names(data: Path) -> None:
    (data / "prepare.json").unlink()
    findings = examine(data)
    assert "there is no prepare.json" in only(findings, Level.NOTE).text
    shutil.copy(data / f"train.{PAIR}.{SOURCE}.idx", data / f"train.{TARGET}-{SOURCE}.{SOURCE}.idx")
    with pytest.raises(UserError, match="or several: name a folder"):
        DataFolder.open(data)


def swap_last(lines: list[str]) -> list[str]:
    return [*lines[:-2], lines[-1], lines[-2]]


@pytest.mark.parametrize(
    ("change", "level", "told"),
    [
        (lambda lines: lines[:-2], Level.NOTE, "has no <mask> and no <blank>"),
        (swap_last, Level.PROBLEM, "does not end in <mask> and <blank>"),
        (lambda lines: [lines[0], *lines], Level.PROBLEM, "has 1 entries twice"),
    ],
)
def test_spoilt_dictionaries(data: Path, change: Callable[[list[str]], list[str]], level: Level, told: str) -> None:
    for path in dictionaries(data):
        edit(path, change)
    assert any(finding.level is level and told in finding.text for finding in examine(data))


def test_one_dictionary_that_became_two(data: Path) -> None:
    record = json.loads((data / "prepare.json").read_text(encoding="utf-8"))
    record["options"]["joined_dictionary"] = True
    write_json(data / "prepare.json", record)
    assert not any(finding.level is Level.PROBLEM for finding in examine(data))
    edit(dictionaries(data)[0], lambda lines: ["other 1", *lines[1:]])
    assert "there is one dictionary, and there are two" in only(examine(data), Level.PROBLEM).text


@pytest.mark.parametrize("suffix", ["bin", "idx"])
def test_a_file_that_is_cut_off(data: Path, suffix: str) -> None:
    path = data / f"train.{PAIR}.{SOURCE}.{suffix}"
    path.write_bytes(path.read_bytes()[:-3])
    assert "is not whole" in only(examine(data), Level.PROBLEM).text


def test_a_split_that_is_not_there(data: Path) -> None:
    for split in ("valid", "test"):
        for path in data.glob(f"{split}.{PAIR}.*"):
            path.unlink()
    findings = examine(data)
    assert only(findings, Level.PROBLEM).text == "there is no valid set."
    assert any(finding.text == "there is no test set." and finding.level is Level.NOTE for finding in findings)


def test_sides_of_unequal_length_and_of_another_dictionary(data: Path) -> None:
    for suffix in ("bin", "idx"):
        shutil.copy(data / f"valid.{PAIR}.{TARGET}.{suffix}", data / f"train.{PAIR}.{TARGET}.{suffix}")
    assert "train: 60 source and 12 target sentences" in only(examine(data), Level.PROBLEM).text
    for path in dictionaries(data):
        edit(path, lambda lines: lines[:3] + lines[-2:])
    assert any("and its dictionary has 9 entries" in finding.text for finding in examine(data))


def test_validation_that_is_not_what_people_wrote(data: Path) -> None:
    edit(data / "bpe" / f"valid.{TARGET}", lambda lines: [*lines[:4], "t0 t0", *lines[5:]])
    assert "valid: target 5 is not line 5 of the text" in only(examine(data), Level.PROBLEM).text


def test_subwords_that_are_not_the_references(data: Path) -> None:
    edit(data / "tok" / f"test.{TARGET}", lambda lines: [*lines[:-1], "t0 t0 t0 t0"])
    assert "test: target 8 is not line 8 of the text" in only(examine(data), Level.PROBLEM).text


def make_distilled(data: Path) -> Path:
    """A copy that says it was distilled from ``data``."""
    distilled = Path(shutil.copytree(data, data.with_name("data_kd")))
    record = {
        "checkpoint": "teacher.pt", "settings": {"beam": 5}, "replaced": {"empty": 2, "too long": 1}, "sentences": 60,
        "command": f"fairseq-generate {data} --path teacher.pt",
    }  # fmt: skip
    write_json(distilled / "distill.json", record)
    return distilled


def test_distilled_data(data: Path) -> None:
    findings = examine(make_distilled(data))
    told = [finding.text for finding in findings]
    assert any("those of teacher.pt, beam 5; 3 of 60 are the original ones" in text for text in told)
    assert any(text.startswith("validation, test and dictionaries are the bytes of") for text in told)
    assert "the training targets have 1.000 times the words of the original ones" in told
    assert not any(finding.level is Level.PROBLEM for finding in findings)


def test_distilled_validation_is_found_out(data: Path) -> None:
    distilled = make_distilled(data)
    for suffix in ("bin", "idx"):
        shutil.copy(data / f"test.{PAIR}.{TARGET}.{suffix}", distilled / f"valid.{PAIR}.{TARGET}.{suffix}")
    problems = [finding.text for finding in examine(distilled) if finding.level is Level.PROBLEM]
    assert problems[0] == "valid: 12 source and 8 target sentences."
    assert problems[1].startswith(f"valid.{PAIR}.{TARGET}.bin, valid.{PAIR}.{TARGET}.idx differ from")
    assert problems[2].startswith("valid: target")


def test_a_teacher_that_says_less(data: Path) -> None:
    distilled = make_distilled(data)
    edit(distilled / "tok" / f"train.{TARGET}", lambda lines: [line.split()[0] for line in lines])
    lines = (data / "tok" / f"train.{TARGET}").read_text(encoding="utf-8").splitlines()
    ratio = len(lines) / sum(len(line.split()) for line in lines)
    assert (
        f"have {ratio:.3f} times the words of the original ones: the students'"
        in only(examine(distilled), Level.NOTE).text
    )


def test_a_folder_that_only_looks_distilled(data: Path) -> None:
    renamed = data.rename(data.with_name("data_kd"))
    assert "there is no distill.json" in only(examine(renamed), Level.NOTE).text


def test_room_for_ctc() -> None:
    from scripts.lib.doctor.data import unfit_for_ctc

    generator = np.random.default_rng(1)
    pairs = [(generator.integers(1, 6), generator.integers(4, 6, size=generator.integers(0, 12))) for _ in range(200)]
    source = Side(np.array([size + 1 for size, _ in pairs]), np.empty(0))
    target = Side(
        np.array([len(words) + 1 for _, words in pairs]), np.concatenate([np.append(words, 2) for _, words in pairs])
    )
    for scale in (1.5, 2, 3):
        by_hand = 0
        for size, words in pairs:
            repeats = sum(words[place] == words[place + 1] for place in range(len(words) - 1))
            by_hand += len(words) + repeats > math.floor(size * scale + 0.5)
        assert unfit_for_ctc(source, target, scale) == by_hand
    five_slots = Side(np.array([4]), np.array([4, 5, 6, 2])), Side(np.array([6]), np.array([4, 5, 6, 7, 8, 2]))
    assert unfit_for_ctc(*five_slots, 1.5) == 0
    assert unfit_for_ctc(*five_slots, 1.4) == 1


def test_refuses_what_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no data folder"):
        DataFolder.open(tmp_path / "none")
    with pytest.raises(UserError, match=r"holds no binarised train\.SOURCE-TARGET"):
        DataFolder.open(tmp_path)
    (tmp_path / "prepare.json").write_text("[]")
    with pytest.raises(UserError, match=r"is not what scripts/prepare\.py writes"):
        DataFolder.open(tmp_path)


def test_the_tiny_corpus_is_what_these_tests_count_on() -> None:
    assert tiny_training.SIZES == {"train": 60, "valid": 12, "test": 8}
