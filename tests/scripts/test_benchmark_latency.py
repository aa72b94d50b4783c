"""scripts/benchmark_latency.py: several systems in one run, with the translations of fairseq-generate."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
import torch

from nat_plugin.errors import UserError
from scripts import benchmark_latency, evaluate
from scripts.lib.latency.report import TSV_COLUMNS
from tests.scripts import tiny_training
from tests.scripts.untrained_runs import make_run

SENTENCES = tiny_training.SIZES["test"]


@pytest.fixture(scope="module")
def runs(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return {method: make_run(tiny_data, folder / method, method) for method in ("cmlm_ce", "ctc", "stock_cmlm")}


@pytest.mark.end_to_end
def test_compares_systems_with_the_translations_of_fairseq_generate(
    teacher_run: Path, runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out" / "latency.json"
    systems = [
        f"{teacher_run}:max_len_b=9,name=teacher",
        f"{runs['cmlm_ce']}:iterations=4,name=mask-predict",
        f"{runs['stock_cmlm']}:iter_decode_max_iter=2,name=stock",
        f"{runs['cmlm_ce']}:reranker={teacher_run}/checkpoints/checkpoint_last.pt,name=reranked",
        f"{runs['ctc']}/checkpoints/checkpoint_last.pt:name=ctc",
        f"{runs['ctc']}:ctc_beam=4,ctc_search=torch,name=beam",
    ]
    benchmark_latency.main([*systems, "--repeats", "2", "--block", "3", "--threads", "1", "--output", str(output)])
    shown = capsys.readouterr().out
    results = json.loads(output.read_text(encoding="utf-8"))
    rows = {row["system"]: row for row in results["systems"]}
    assert list(rows) == ["teacher", "mask-predict", "stock", "reranked", "ctc", "beam"]
    kinds = {name: (row["kind"], row["passes"]) for name, row in rows.items()}
    assert kinds == {
        "teacher": ("autoregressive", None),
        "mask-predict": ("iterative", 4.0),
        "stock": ("iterative", 3.0),
        "reranked": ("one pass", 1.0),
        "ctc": ("one pass", 1.0),
        "beam": ("one pass", 1.0),
    }
    for name, row in rows.items():
        assert list(row["measures"]) == ["l1_cpu", "lmax_cpu"]
        for measure, found in row["measures"].items():
            low, high = found["ms_quartiles"]
            assert 0 < low <= found["ms"] <= high
            assert len(found["ms_repeats"]) == 2
            assert found["peak_bytes"] is None or found["peak_bytes"] >= 0
            assert found["differing_from_first_measure"] <= 1
            assert f"measure:{measure}|" in found["signature"]
            assert "|threads:1|clock:wall|dtype:fp32|" in found["signature"]
        assert name in shown
    teacher = rows["teacher"]["measures"]["l1_cpu"]
    assert teacher["speedup"] == 1.0
    assert "flags:beam=5 lenpen=1.0 max_len_b=9 source_lang=aa" in teacher["signature"]
    assert teacher["signature"] in shown
    assert f"sentences:{SENTENCES}" in teacher["signature"]

    [row] = json.loads(_evaluated(teacher_run, tmp_path).read_text(encoding="utf-8"))
    assert teacher["bleu"] == row["bleu"]

    with open(output.with_suffix(".tsv"), encoding="utf-8", newline="") as handle:
        lines = list(csv.DictReader(handle, delimiter="\t"))
    assert tuple(lines[0]) == TSV_COLUMNS
    assert [(line["measure"], line["system"]) for line in lines] == [
        (measure, name) for measure in ("l1_cpu", "lmax_cpu") for name in rows
    ]
    for line in lines:
        assert float(line["ms"]) == pytest.approx(rows[line["system"]]["measures"][line["measure"]]["ms"], rel=1e-4)
    drawing = output.with_suffix(".svg").read_text(encoding="utf-8")
    assert all(name in drawing for name in [*rows, "L1, CPU", "Lmax, CPU", "BLEU"])


def _evaluated(run: Path, tmp_path: Path) -> Path:
    """What scripts/evaluate.py says of the same run, whose own folder stays as it is."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("config.yaml", "checkpoints"):
        (copy / name).symlink_to(run / name)
    evaluate.main([str(copy), "--threads", "1", "--set", "max_len_b=9", "--suffix", "short"])
    return copy / "results" / "test_short.json"


def test_only_some_sentences_and_one_measure(runs: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / "some.json"
    benchmark_latency.main(
        [
            str(runs["ctc"]),
            *["--sentences", "3", "--measures", "l1_cpu", "--no-plot", "--repeats", "1", "--warm-up", "0", "--output"],
            str(output),
        ]
    )
    results = json.loads(output.read_text(encoding="utf-8"))
    [row] = results["systems"]
    assert list(row["measures"]) == ["l1_cpu"]
    assert results["settings"]["sentences"] == 3
    assert not output.with_suffix(".svg").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--repeats", "0"], "--repeats must be at least 1, not 0"),
        (["--sentences", "0"], "--sentences must be at least 1, not 0"),
        (["--warm-up", "-1"], "--warm-up must not be below 0"),
        (["--clock", "cpu", "--threads", "2", "--measures", "l1_cpu"], "--clock cpu measures one thread"),
        (["--memory-limit", "0"], "--memory-limit must be above 0 GiB"),
        (["--output", "latency.txt"], r"--output latency\.txt must end in \.json"),
    ],
)
def test_refuses_in_one_sentence(words: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        benchmark_latency.main(["RUN", *words])


def test_unknown_flags_and_runs(runs: dict[str, Path], tmp_path: Path) -> None:
    words = ["--measures", "l1_cpu", "--output", str(tmp_path / "none.json")]
    with pytest.raises(UserError, match=r"does not take these flags \(unrecognized arguments: --beams 3\)"):
        benchmark_latency.main([f"{runs['ctc']}:beams=3", *words])
    with pytest.raises(UserError, match="is no run directory"):
        benchmark_latency.main([str(tmp_path / "nothing"), *words])
    assert not (tmp_path / "none.json").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_gpu_measures_need_a_gpu() -> None:
    with pytest.raises(UserError, match="--measures l1_gpu needs a CUDA GPU"):
        benchmark_latency.main(["RUN", "--measures", "l1_cpu", "l1_gpu"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_all_measures_on_a_gpu(teacher_run: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / "latency.json"
    systems = [f"{teacher_run}:name=teacher", f"{runs['ctc']}:name=ctc", f"{runs['ctc']}:fp16=true,name=half"]
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    benchmark_latency.main([*systems, "--repeats", "2", "--output", str(output)])
    results = json.loads(output.read_text(encoding="utf-8"))
    assert results["machine"]["gpu"] == torch.cuda.get_device_name()
    for row in results["systems"]:
        assert list(row["measures"]) == ["l1_gpu", "l1_cpu", "lmax_gpu"]
        dtypes = [found["dtype"] for found in row["measures"].values()]
        assert dtypes == (["fp16", "fp32", "fp16"] if row["system"] == "half" else ["fp32"] * 3)
        assert all(found["peak_bytes"] > 0 for found in row["measures"].values())
