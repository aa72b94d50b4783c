"""Flags that cannot be used: one sentence that names them, before any work is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.commands import run
from tests.end_to_end.conftest import Corpus, Model
from tests.end_to_end.settings import ON_CPU, OPTIMIZER, TINY, generate, train, training

pytestmark = pytest.mark.end_to_end


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--length-multiplier", 0], "--length-multiplier must be above 0"),
        (["--length-multiplier", -1], "--length-multiplier must be above 0"),
        (["--length-multiplier", "inf"], "--length-multiplier must be above 0 and finite"),
        (["--length-candidates", 0], "--length-candidates must be at least 1"),
        (["--iterations", 0], "--iterations must be at least 1"),
        (["--nbest", 3], "add --length-candidates 3"),
        (["--prefix-size", 1], "--prefix-size"),
        (["--sampling", "--beam", 1], "--sampling is not supported"),
    ],
)
def test_decoding(made: Corpus, model: Model, flags: list[object], expected: str) -> None:
    assert expected in generate(made.data, model.checkpoint, *flags).refusal()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--criterion", "nat_axe", "--skip-target-penalty", -1], "--skip-target-penalty must be 0 or more"),
        (["--criterion", "nat_axe", "--skip-target-penalty", "inf"], "--skip-target-penalty must be 0 or more"),
        (["--label-smoothing", 1], "--label-smoothing must be in"),
        (["--length-loss-weight", "nan"], "--length-loss-weight must be 0 or more"),
        (["--criterion", "label_smoothed_cross_entropy"], "--criterion label_smoothed_cross_entropy does not train"),
        (["--criterion", "nat_ngram", "--ngram-size", 1], "--ngram-size must be 2 or more"),
        (["--criterion", "nat_ngram", "--upsample-scale", 2], "drop --upsample-scale"),
        (["--encoder-mask-prob", 2], "--encoder-mask-prob is a share of the source tokens, 0 to 1, not 2"),
        (["--decoder-mask-span", 0], "--decoder-mask-span must be at least 1"),
        (["--decoder-attention-heads", 5], "--decoder-attention-heads 5 must divide --decoder-embed-dim"),
        (["--sentence-avg"], "--sentence-avg does not go with --criterion"),
        (["--fp16"], "--fp16 needs a CUDA GPU"),
        (["--bf16"], "--bf16 needs a CUDA GPU"),
        (["--ddp-backend", "fully_sharded"], "--ddp-backend fully_sharded needs fairscale"),
        (["--num-batch-buckets", 3], "--num-batch-buckets"),
    ],
)
def test_training(made: Corpus, tmp_path: Path, flags: list[object], expected: str) -> None:
    assert expected in train(made.data, tmp_path, "--max-update", 1, *flags).refusal()
    assert list(tmp_path.glob("*.pt")) == []


BLEU = "--eval-bleu"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([BLEU, "--eval-bleu-args", '{"beams": 3}'], "--eval-bleu-args names unknown options beams"),
        ([BLEU, "--eval-bleu-args", '{"iterations": "many"}'], "iterations must be int"),
        ([BLEU, "--eval-bleu-args", "{beam: 3}"], "--eval-bleu-args {beam: 3} is not JSON"),
        ([BLEU, "--eval-bleu-args", "[3]"], "--eval-bleu-args [3] is no JSON object"),
        ([BLEU, "--eval-bleu-detok", "none"], "--eval-bleu-detok none is no tokenizer"),
        (["--best-checkpoint-metric", "bleu", "--maximize-best-checkpoint-metric"], "needs --eval-bleu"),
        ([BLEU, "--best-checkpoint-metric", "bleu"], "add --maximize-best-checkpoint-metric"),
        (["--valid-subset", "valid7"], "no binarised split 'valid7'"),
    ],
)
def test_validation(made: Corpus, tmp_path: Path, flags: list[object], expected: str) -> None:
    message = run("fairseq-train", *training(made.data, tmp_path, "--max-update", 1, *flags)).refusal()
    assert expected in message
    assert list(tmp_path.glob("*.pt")) == []


@pytest.mark.parametrize("task", ["translation", "nat_translation"])
@pytest.mark.parametrize(
    ("arch", "criterion", "expected"),
    [
        ("transformer", "nat_axe", {"translation": "--criterion nat_axe trains", "nat_translation": "--arch transfor"}),
        ("cmlm_tiny", "cross_entropy", {"translation": "--task translation", "nat_translation": "--criterion cross_"}),
    ],
)
def test_autoregressive_and_non_autoregressive_parts_do_not_mix(
    made: Corpus, tmp_path: Path, task: str, arch: str, criterion: str, expected: dict[str, str]
) -> None:
    message = run(
        "fairseq-train",
        *(made.data, "--task", task, "--arch", arch, "--criterion", criterion, *TINY, *ON_CPU, *OPTIMIZER),
        *("--save-dir", tmp_path),
    ).refusal()
    assert expected[task] in message


def test_what_is_missing_is_named(made: Corpus, tmp_path: Path) -> None:
    without_size = [flag for flag in training(made.data, tmp_path) if flag not in ("--max-tokens", 400)]
    assert "--max-tokens" in run("fairseq-train", *without_size).refusal()
    assert "--path" in run("fairseq-generate", made.data, "--task", "nat_translation", *ON_CPU).refusal()
