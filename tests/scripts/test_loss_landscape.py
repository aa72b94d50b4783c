"""scripts/loss_landscape.py: its points against checkpoints made by hand, going on, and what is refused."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from nat_plugin.errors import UserError
from scripts.lib import averaging
from scripts.lib.evaluation import Evaluation
from scripts.lib.in_process import SplitTranslator
from scripts.lib.landscape.measuring import Landscape
from scripts.lib.landscape.plane import Plane
from scripts.lib.likelihood import LikelihoodReader
from scripts.loss_landscape import main
from tests.scripts.test_averaging import save
from tests.scripts.untrained_runs import make_run, read_row

SMALL = ["--range", "0", "0.5", "--steps", "2", "--sentences", "6", "--threads", "1"]


@pytest.fixture(scope="module")
def runs(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three models that were never trained; the second one by glancing, were it trained."""
    folder = tmp_path_factory.mktemp("landscape")
    methods = ("vanilla", "glat", "vanilla")
    return [
        make_run(tiny_data, folder / f"run{number}", method, seed=number, copying="none")
        for number, method in enumerate(methods)
    ]


def alone(run: Path, data: Path, checkpoint: Path | None = None) -> tuple[float, float]:
    """Log-likelihood and BLEU of a checkpoint, by what other scripts use."""
    evaluation = Evaluation.plan(run, split="valid", data=data, checkpoint=str(checkpoint) if checkpoint else None)
    device = torch.device("cpu")
    reader = LikelihoodReader(evaluation.checkpoint, data, "valid", max_tokens=50, device=device, sentences=6)
    return reader.read().log_likelihood / math.log(2), SplitTranslator(evaluation, sentences=6).scores()["bleu"]


def test_every_point_is_the_model_there(
    tiny_data: Path, runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    output = tmp_path / "map.json"
    words = [*map(str, runs), *SMALL, "--output", str(output), "--names", "zero", "one $1$", "two"]
    measure, measured = Landscape._measure, 0

    def counted(self: Landscape, a: float, b: float) -> dict[str, Any]:
        nonlocal measured
        if measured == 3:
            raise KeyboardInterrupt
        measured += 1
        return measure(self, a, b)

    monkeypatch.setattr(Landscape, "_measure", counted)
    with pytest.raises(KeyboardInterrupt):
        main(words)
    measured = -10
    main(words)
    assert measured == -10 + 3  # the three models were there; of four points of the grid one is the first of them
    measured = 3
    main(words)  # everything is

    row = read_row(output)
    assert row["grid"] == [0, 0.5]
    assert [(point["a"], point["b"]) for point in row["corners"]] == [(0, 0), (1, 0), (0, 1)]
    assert [(point["a"], point["b"]) for point in row["points"]] == [(0, 0), (0.5, 0), (0, 0.5), (0.5, 0.5)]
    for run, point in zip(runs, row["corners"], strict=True):
        likelihood, bleu = alone(run, tiny_data)
        assert point["log_likelihood"] == pytest.approx(likelihood, rel=1e-5)
        assert point["bleu"] == pytest.approx(bleu, abs=1e-6)
    halfway = tmp_path / "halfway.pt"
    averaging.write_average([run / "checkpoints" / "checkpoint_last.pt" for run in runs[:2]], halfway)
    likelihood, bleu = alone(runs[0], tiny_data, halfway)
    assert row["points"][1]["log_likelihood"] == pytest.approx(likelihood, rel=1e-5)
    assert row["points"][1]["bleu"] == pytest.approx(bleu, abs=1e-6)
    assert row["points"][1]["log_likelihood"] != pytest.approx(row["corners"][0]["log_likelihood"], rel=1e-4)

    with open(output.with_suffix(".tsv"), encoding="utf-8", newline="") as handle:
        lines = list(csv.DictReader(handle, delimiter="\t"))
    numbers = [float(line["log_likelihood"]) for line in lines]
    assert numbers == pytest.approx([point["log_likelihood"] for point in row["corners"] + row["points"]], rel=1e-6)
    drawing = output.with_suffix(".svg").read_text(encoding="utf-8")
    assert all(name in drawing for name in ("zero", "one $1$", "two", "BLEU"))
    shown = capsys.readouterr().out
    assert "highest BLEU" in shown
    assert row["signature"] in shown


def test_a_point_of_the_plane_and_its_measures(tmp_path: Path) -> None:
    count = torch.tensor([7])
    paths = [
        save(tmp_path / f"{number}.pt", w=torch.tensor(values).half(), n=count + number)
        for number, values in enumerate(([1.0, 1.0], [4.0, 1.0], [1.0, 5.0]))
    ]
    plane = Plane(paths)
    assert plane.distances == (3, 4)
    assert plane.cosine == 0
    point = plane.at(2, -0.5)
    assert point["w"].tolist() == [7, -1]
    assert point["w"].dtype == torch.float16
    assert point["n"].tolist() == [7]
    with pytest.raises(UserError, match="lie on one line"):
        Plane([paths[0], paths[1], paths[1]])
    with pytest.raises(UserError, match="lie on one line"):
        Plane([paths[0], paths[0], paths[1]])
    with pytest.raises(UserError, match=r"w has shape \(2,\).*: name three checkpoints of one architecture"):
        Plane([*paths[:2], save(tmp_path / "long.pt", w=torch.zeros(3), n=count)])
    with pytest.raises(UserError, match="do not hold the same parameters"):
        Plane([*paths[:2], save(tmp_path / "other.pt", v=torch.zeros(2), n=count)])


def test_refuses_other_dictionaries(tiny_data: Path, runs: list[Path], tmp_path: Path) -> None:
    from tests.scripts.tiny_training import make_data

    data = make_data(tmp_path / "other", seed=5, sizes={"train": 20, "valid": 4})
    lines = (data / "dict.bb.txt").read_text(encoding="utf-8").splitlines()
    for language in ("aa", "bb"):
        (data / f"dict.{language}.txt").write_text("\n".join([*lines[1:], lines[0]]) + "\n", encoding="utf-8")
    stranger = make_run(data, tmp_path / "stranger", "vanilla", seed=9)
    with pytest.raises(UserError, match="was trained with another dictionary"):
        main([*map(str, [*runs[:2], stranger]), *SMALL, "--no-plot"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--range", "1", "0"], "--range 1 0 is no range"),
        (["--range", "0", "nan"], "is no range"),
        (["--steps", "1"], "--steps must be at least 2"),
        (["--output", "x.svg"], r"must end in \.json"),
    ],
)
def test_refuses_numbers_out_of_range(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        main(["a", "b", "c", *words])


def test_refuses_a_ctc_model(tiny_data: Path, tmp_path: Path) -> None:
    paths = [str(make_run(tiny_data, tmp_path / f"ctc{seed}", "ctc", seed=seed)) for seed in range(3)]
    with pytest.raises(UserError, match="a CTC model has no slot"):
        main([*paths, *SMALL, "--no-plot"])
