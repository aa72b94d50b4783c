"""scripts/analyse_noise.py on a model that really translates: the figures, what is written, and what is refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nat_plugin.analysis.state_noise import StateNoise, state_noise
from nat_plugin.errors import UserError
from nat_plugin.symbols import word_ids
from scripts.analyse_noise import main
from scripts.lib.evaluation import Evaluation
from scripts.lib.in_process import SplitTranslator
from scripts.lib.noise.measuring import disturbed_dataset
from tests.scripts import tiny_training
from tests.scripts.untrained_runs import copy_run, make_run, read_row

pytestmark = pytest.mark.end_to_end

RATES = ["--rates", "0.5", "--word-rates", "0.2", "--threads", "1"]


@pytest.fixture(scope="module")
def nat_run(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learned some of the tiny corpus."""
    run = tmp_path_factory.mktemp("nat") / "run"
    size = {f"{side}_{key}": value for side in ("encoder", "decoder") for key, value in {"embed_dim": 32}.items()}
    flags = {"copying": "uniform", "label_smoothing": 0.0, "max_update": 250, "disable_validation": True}
    words = tiny_training.settings(tiny_data, run, "nat", **size, **flags, save_interval=1000)
    tiny_training.train([*words, "average.kind=none"])
    return run


def read_tsv(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def one_by_one(translator: SplitTranslator, run: Path, dataset: Any = None) -> float:
    """BLEU of the sentences translated alone, in another order than the script's."""
    task = translator.translator.task
    dataset = dataset or task.dataset("valid")
    said = {}
    for index in reversed(range(len(dataset))):
        [hypothesis] = task.inference_step(
            translator.translator.generator, translator.translator.models, dataset.collater([dataset[index]])
        )
        said[index] = translator.translator.words(hypothesis[0]["tokens"].tolist())
    _, scores = Evaluation.plan(run, split="valid").score([said[index] for index in range(len(dataset))])
    return scores.bleu


def test_the_figures_are_those_of_single_sentences(
    nat_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_run(nat_run, tmp_path / "run")
    main([str(run), *RATES, "--strengths", "1", "0.5"])
    shown = capsys.readouterr().out
    row = read_row(run / "results" / "noise_valid.json")
    assert [(curve["noise"], curve["strength"]) for curve in row["curves"]] == [
        *((place, size) for place in ("encoder_input", "encoder_output", "decoder_input") for size in (1.0, 0.5)),
        *((kind, None) for kind in ("drop", "replace", "drop_or_replace")),
    ]
    clean = row["clean"]["bleu"]
    assert clean > 3  # or noise would cost nothing
    translator = SplitTranslator(Evaluation.plan(run, split="valid"))
    assert clean == pytest.approx(one_by_one(translator, run))
    lines = iter(read_tsv(run / "results" / "noise_valid.tsv"))
    for curve in row["curves"]:
        without, point = curve["points"]
        assert (without["rate"], without["bleu"], without["delta_bleu"]) == (0.0, clean, 0.0)
        assert point["delta_bleu"] == point["bleu"] - clean
        assert point["draws"] == [point["bleu"]]
        if curve["strength"]:
            with state_noise(translator.model, StateNoise(curve["noise"], 0.5, curve["strength"])):
                assert point["bleu"] == pytest.approx(one_by_one(translator, run))
        else:
            dataset = translator.translator.task.dataset("valid")
            disturbed = disturbed_dataset(dataset, curve["noise"], 0.2, 1)
            assert point["bleu"] == pytest.approx(one_by_one(translator, run, disturbed))
        for entry in (without, point):
            line = next(lines)
            assert (line["system"], line["noise"]) == (row["system"], curve["noise"])
            assert float(line["rate"]) == entry["rate"]
            assert float(line["bleu"]) == pytest.approx(entry["bleu"])
            assert float(line["delta_bleu"]) == pytest.approx(entry["delta_bleu"])
    assert next(lines, None) is None
    assert all(curve["points"][1]["delta_bleu"] < 0 for curve in row["curves"] if curve["noise"] == "encoder_output")
    assert f"{clean:.2f} BLEU" in shown
    assert row["signature"] in shown
    assert row["command"].startswith(f"scripts/analyse_noise.py {run}")
    picture = (run / "results" / "noise_valid.svg").read_text(encoding="utf-8")
    assert all(text in picture for text in ("encoder_output × 0.5", "drop or replace", row["system"]))


def test_a_stopped_analysis_goes_on_and_batches_change_nothing(
    nat_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stopped = (copy_run(nat_run, tmp_path / name) for name in ("whole", "stopped"))
    words = [*RATES, "--noise", "decoder_input", "replace", "--draws", "2", "--sentences", "10", "--no-plot"]
    main([str(whole), *words])
    scores, calls = SplitTranslator.scores, []

    def counted(limit: int) -> Callable[[SplitTranslator], dict[str, Any]]:
        def counting(self: SplitTranslator) -> dict[str, Any]:
            if len(calls) == limit:
                raise KeyboardInterrupt
            calls.append(limit)
            return scores(self)

        return counting

    monkeypatch.setattr(SplitTranslator, "scores", counted(3))
    with pytest.raises(KeyboardInterrupt):
        main([str(stopped), *words, "--max-tokens", "12"])
    assert not (stopped / "results" / "noise_valid_first10.json").exists()
    monkeypatch.setattr(SplitTranslator, "scores", counted(100))
    main([str(stopped), *words, "--max-tokens", "12"])
    assert len(calls) == 5  # without noise, and two draws of two kinds: none of them twice
    rows = [read_row(run / "results" / "noise_valid_first10.json") for run in (whole, stopped)]
    assert rows[0]["curves"] == rows[1]["curves"]
    assert (rows[0]["sentences"], rows[0]["seeds"]) == (10, [1, 2])
    point = rows[0]["curves"][1]["points"][1]
    assert point["bleu"] == pytest.approx(sum(point["draws"]) / 2)
    checkpoint = stopped / "checkpoints" / "checkpoint_last.pt"  # another model: nothing of the old one counts
    torch.save(torch.load(checkpoint), checkpoint)
    main([str(stopped), *words])
    assert len(calls) == 10


def test_an_autoregressive_model_stands_beside_ours(
    nat_run: Path, teacher_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [copy_run(nat_run, tmp_path / "ours"), copy_run(teacher_run, tmp_path / "teacher")]
    for run in runs:
        config = run / "config.yaml"
        text = config.read_text(encoding="utf-8").splitlines()
        named = [f"name: {run.name}" if line.startswith("name:") else line for line in text]
        config.write_text("\n".join(named), encoding="utf-8")
    output = tmp_path / "out" / "noise.json"
    main([*map(str, runs), *RATES, "--output", str(output)])
    assert "teacher has no canvas: decoder_input is left out" in capsys.readouterr().err
    rows = json.loads(output.read_text(encoding="utf-8"))
    kinds = {row["system"]: [curve["noise"] for curve in row["curves"]] for row in rows}
    assert set(kinds["ours"]) - set(kinds["teacher"]) == {"decoder_input"}
    assert len(kinds["teacher"]) == 5
    assert {line["system"] for line in read_tsv(output.with_suffix(".tsv"))} == {"ours", "teacher"}
    assert "teacher, valid" in output.with_suffix(".svg").read_text(encoding="utf-8")
    with pytest.raises(UserError, match="has no canvas that could be disturbed"):
        main([str(runs[1]), "--noise", "decoder_input", "--no-plot"])


def test_what_stands_in_for_a_word_is_a_word(tiny_data: Path) -> None:
    from nat_plugin.tasks.dictionaries import load_dictionary

    dictionary = load_dictionary(str(tiny_data / "dict.aa.txt"))
    words = {dictionary[index] for index in word_ids(dictionary)}
    assert words == {f"{side}{number}" for side in "st" for number in range(tiny_training.WORDS)}


def test_refuses_in_one_sentence(tiny_data: Path, tmp_path: Path) -> None:
    run = make_run(tiny_data, tmp_path / "run", "nat")
    other = tmp_path / "other.json"
    other.write_text('[{"system": "a", "bleu": 1}]', encoding="utf-8")
    refusals = {
        "there is no data folder": ["--data", str(tmp_path / "nowhere")],
        "there is no checkpoint 'none.pt'": ["--checkpoint", "none.pt"],
        "holds results of another script": ["--output", str(other)],
        r"--output all\.txt must end in \.json": ["--output", "all.txt"],
        "two runs have one name": [str(run), "--output", str(tmp_path / "all.json")],
        "--name names one system": [str(run), "--name", "a"],
        r"--rates 1\.5 is no share": ["--rates", "1.5"],
        r"--word-rates -0\.1 is no share": ["--word-rates", "-0.1"],
        "--strengths inf is no size": ["--strengths", "inf"],
        "--draws must be at least 1, not 0": ["--draws", "0"],
        "--set x is no KEY=VALUE": ["--set", "x"],
    }
    for sentence, words in refusals.items():
        with pytest.raises(UserError, match=sentence):
            main([str(run), *words, "--no-plot"])
    assert not (run / "results").exists()
