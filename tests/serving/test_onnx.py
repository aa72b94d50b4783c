"""ONNX files say what the generator says, for any number of sentences and any length."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nat_plugin.errors import UserError
from nat_plugin.serving import OnnxTranslator
from nat_plugin.serving.onnx_export import export_onnx, quantise
from nat_plugin.serving.runtime import DESCRIPTION, FP32, INT8, SYMBOLS
from tests.serving.models import Case

for needed in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(needed)

ROOT = Path(__file__).resolve().parents[2]


def write_folder(case: Case, folder: Path) -> Path:
    """As scripts/export.py leaves it."""
    graph, dictionary = case.graph, case.dictionary
    export_onnx(graph, case.batch([5, 3]), folder / FP32)
    quantise(folder / FP32, folder / INT8)
    for name in SYMBOLS.values():
        (folder / name).write_text("".join(f"{dictionary[index]}\n" for index in range(len(dictionary))))
    ids = {"pad": dictionary.pad(), "eos": dictionary.eos(), "unk": dictionary.unk()}
    (folder / DESCRIPTION).write_text(json.dumps({"longest_source": graph.longest_source, "symbols": ids}))
    return folder


@pytest.fixture(
    scope="module",
    params=[
        "three lengths, sinusoids, uniform copies, input predictor",
        "two lengths, positional attention, hard copies",
        "ctc, SoftCopy, latent variable",
    ],
)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Path]:
    case = Case(request.param)
    return case, write_folder(case, tmp_path_factory.mktemp("export"))


# 1.3 · 5 and 1.3 · 15 are halves, if 1.3 is not rounded
@pytest.mark.parametrize("lengths", [[1], [9], [24, 1, 7, 7], [2] * 11, list(range(1, 25))])
def test_token_for_token(exported: tuple[Case, Path], lengths: list[int]) -> None:
    case, folder = exported
    source = case.batch(lengths)
    found = OnnxTranslator(folder, int8=False).run(source.numpy())
    for one, (said, score) in zip(found, case.expected(source), strict=True):
        assert one.tokens == said
        assert one.score == pytest.approx(score, abs=1e-4)


def test_eight_bits_are_smaller_and_nearly_the_same(exported: tuple[Case, Path]) -> None:
    case, folder = exported
    source = case.batch([12, 9, 20, 3])
    single, rounded = (OnnxTranslator(folder, int8=int8).run(source.numpy()) for int8 in (False, True))
    for one, other in zip(single, rounded, strict=True):
        assert other.score == pytest.approx(one.score, abs=0.3)
    assert (folder / INT8).read_bytes() != (folder / FP32).read_bytes()


def test_from_words_to_words_without_torch_or_fairseq(exported: tuple[Case, Path]) -> None:
    case, folder = exported
    lines = ["w1 w2 w3", "w4 nowhere w5 w6 w7"]
    program = (
        "import json, sys\n"
        "from nat_plugin.serving import OnnxTranslator\n"
        f"print(json.dumps(OnnxTranslator({str(folder)!r}, int8=False).translate({lines!r})))\n"
        "assert not {'torch', 'fairseq'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    source = case.dictionary
    batch = case.batch([3, 5])
    for row, line in zip(batch, lines, strict=True):
        row[: len(line.split())] = source.encode_line(line, append_eos=False, add_if_not_exist=False).long()
    expected = [" ".join(source[token] for token in tokens) for tokens, _ in case.expected(batch)]
    assert json.loads(done.stdout) == expected


def test_what_does_not_fit_is_one_sentence(exported: tuple[Case, Path], tmp_path: Path) -> None:
    case, folder = exported
    translator = OnnxTranslator(folder)
    most = case.model.max_positions()[0] - 1
    assert len(translator.translate_ids([[4] * most])) == 1
    assert translator.translate([]) == []
    for line in ("", "w1 " * (most + 1)):
        with pytest.raises(
            UserError, match=rf"sentence 2 of the batch has \d+ tokens, and this model takes 1 to {most}"
        ):
            translator.translate(["w1", line])
    with pytest.raises(UserError, match=r"is not what scripts/export\.py writes"):
        OnnxTranslator(tmp_path)
    (folder / INT8).rename(folder / "elsewhere")
    with pytest.raises(UserError, match=r"holds no model\.int8\.onnx"):
        OnnxTranslator(folder)
    (folder / "elsewhere").rename(folder / INT8)
