"""scripts/export.py: what it writes says what fairseq-generate says, and what cannot be exported is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nat_plugin.errors import UserError
from nat_plugin.serving import OnnxTranslator
from nat_plugin.serving.runtime import DESCRIPTION, FP32, INT8, SYMBOLS, Translation
from scripts import export
from scripts.lib.exporting import agreement, remove_export
from scripts.lib.generation import Hypothesis, parse_generate_output
from tests.scripts import tiny_training
from tests.scripts.untrained_runs import make_run

SENTENCES = tiny_training.SIZES["test"]


def installed() -> None:
    for needed in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(needed)


@pytest.mark.end_to_end
def test_exports_checks_and_measures(tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    installed()
    run = make_run(tiny_data, tmp_path / "run", "cmlm_axe")
    folder = tmp_path / "serving"
    export.main(
        [str(run), "--set", "length_candidates=3", "length_multiplier=1.2", "--repeats", "2", "--output", str(folder)]
    )
    shown = capsys.readouterr().out
    assert "fairseq-generate" in shown
    assert f"{SENTENCES} of {SENTENCES}" in next(line for line in shown.splitlines() if line.startswith("fp32"))
    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    assert description["decoding"] == {
        "length_candidates": 3,
        "length_multiplier": 1.2,
        "deduplicate": False,
        "blank_penalty": 0.0,
    }
    single, rounded = description["forms"]
    assert (single["form"], rounded["form"]) == ("fp32", "int8")
    assert single["agreement"] == {"equal": SENTENCES, "ties": 0, "differing": []}
    assert single["bleu"] == single["bleu_of_fairseq_generate"] == rounded["bleu_of_fairseq_generate"]
    assert all(form["ms"] > 0 and form["eager_ms"] > 0 and form["speedup"] > 0 for form in (single, rounded))
    assert "onnxruntime" in description["versions"]

    log = (run / "results" / "test_length_candidates=3_length_multiplier=1.2.log").read_text(encoding="utf-8")
    expected = parse_generate_output(log.splitlines())
    sources = (tiny_data / "bpe" / "test.aa").read_text(encoding="utf-8").splitlines()
    found = OnnxTranslator(folder, int8=False).translate(sources)
    assert found == [expected[number][0].tokens for number in range(SENTENCES)]


def test_a_form_that_says_something_else_is_removed(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed()
    run = make_run(tiny_data, tmp_path / "run", "ctc")

    def pretend_to_write(translator: object, folder: Path, **unused: object) -> None:
        folder.mkdir()
        (folder / FP32).write_text("a model")

    monkeypatch.setattr(export, "write_export", pretend_to_write)
    monkeypatch.setattr(export.Evaluation, "translate", lambda self, threads: None)
    monkeypatch.setattr(export, "check", lambda *unused: [{"agreement": {"differing": [4, 6]}}])
    with pytest.raises(UserError, match="2 sentences, number 5 the first, are not translated as by fairseq-generate"):
        export.main([str(run)])
    assert not (run / "export").exists()


@pytest.mark.parametrize(
    ("method", "flags", "sentence"),
    [
        ("teacher", [], "only one-pass models of --task nat_translation can be exported"),
        ("stock_cmlm", [], "only one-pass models of --task nat_translation can be exported"),
        ("cmlm_ce", ["--set", "iterations=4"], "--iterations 4 cannot be exported, only plain decoding in one pass"),
    ],
)
def test_refuses_what_is_not_one_pass(
    tiny_data: Path, tmp_path: Path, method: str, flags: list[str], sentence: str
) -> None:
    installed()
    run = make_run(tiny_data, tmp_path / "run", method)
    with pytest.raises(UserError, match=sentence):
        export.main([str(run), *flags])
    assert not (run / "export").exists()


def test_says_what_to_install(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"exporting needs (onnx|onnxscript) .*pip install '\.\[onnx\]'"):
        export.main([str(tmp_path)])


def test_numbers_out_of_range() -> None:
    with pytest.raises(UserError, match="must be at least 1"):
        export.main(["RUN", "--threads", "0"])


def test_other_tokens_with_the_same_score_are_a_tie() -> None:
    nats = -0.5
    base_2 = nats / 0.6931471805599453
    expected = [Hypothesis("a b", base_2), Hypothesis("a c", base_2), Hypothesis("a d", base_2)]
    found = [Translation([1], nats), Translation([2], nats + 5e-4), Translation([3], nats + 0.01)]
    compared = agreement(found, ["a b", "c a", "d a"], expected)
    assert (compared.equal, compared.ties, compared.differing) == (1, 1, [2])


def test_removing_leaves_what_others_put_there(tmp_path: Path) -> None:
    for name in (FP32, INT8, DESCRIPTION, *SYMBOLS.values(), "notes.txt"):
        (tmp_path / name).write_text("x")
    remove_export(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
