"""Latent alignments on fairseq's ordinary transformer: train, validate, translate, through fairseq's own commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.end_to_end.commands import run, start
from tests.end_to_end.conftest import Corpus, Model
from tests.end_to_end.corpus import SOURCE, TARGET, TEST_COUNTS
from tests.end_to_end.settings import ON_CPU, OPTIMIZER, POSITIONS, TINY
from tests.end_to_end.test_exactness import CUT, free_port, largest_difference
from tests.end_to_end.test_translation import best, bleu, last_validation

pytestmark = pytest.mark.end_to_end

UPDATES = 90
TRANSLATION = ["--task", "translation", "--source-lang", SOURCE, "--target-lang", TARGET]
WHOLE = ["--required-batch-size-multiple", 1]  # fairseq's own task drops what does not fill a multiple of 8
TRANSFORMER = ["--arch", "transformer", "--dropout", 0, "--share-all-embeddings", *TINY, *POSITIONS]


def training(data: Path, save_dir: Path, *flags: object) -> list[object]:
    """Arguments of fairseq-train for an ordinary transformer."""
    fixed = [data, *TRANSLATION, *TRANSFORMER, *ON_CPU, *OPTIMIZER, "--no-epoch-checkpoints", "--save-dir", save_dir]
    return [*fixed, *WHOLE, "--log-interval", 1, *flags]


def generate(data: Path, checkpoint: Path, *flags: object) -> str:
    fixed = ["--path", checkpoint, "--beam", 5, "--max-len-a", 1, "--max-len-b", 10, *WHOLE]
    return run("fairseq-generate", data, *TRANSLATION, *ON_CPU, *fixed, *flags).checked().output


@pytest.fixture(scope="module")
def degenerate(made: Corpus, folder: Path) -> Model:
    """Trained with AXE for a moment; validation translates as well."""
    validation = ["--validate-interval", 1000, "--eval-bleu", "--eval-bleu-args", '{"beam": 2, "max_len_b": 12}']
    flags = ["--criterion", "axe", "--max-update", UPDATES, *validation]
    result = run("fairseq-train", *training(made.data, folder / "at_axe", *flags)).checked()
    return Model(folder / "at_axe" / "checkpoint_last.pt", result)


def test_the_loss_falls_and_nothing_is_translated(made: Corpus, degenerate: Model) -> None:
    validated = last_validation(degenerate.training.output)
    sentences = (made.text / f"valid.{TARGET}").read_text(encoding="utf-8").splitlines()
    floor = 2 * len(sentences) / sum(len(sentence.split()) + 1 for sentence in sentences)
    # no full stop says where a sentence ends, so that the last prediction is not all that costs something
    assert floor < validated["loss"] < 2.5 * floor
    assert validated["trivial"] < 0.1
    assert validated["align"] + validated["skip_target"] == pytest.approx(1, abs=2e-3)
    assert validated.get("bleu", 0.0) < 2  # ε is dropped there too; fairseq logs no BLEU of nothing
    output = generate(made.data, degenerate.checkpoint, "--remove-bpe")
    translations = best(output)
    assert sorted(translations) == list(range(TEST_COUNTS[0]))
    assert sum(not text for text in translations.values()) > 0.9 * TEST_COUNTS[0]
    assert bleu(output) < 2
    raw = generate(made.data, degenerate.checkpoint, "--nbest", 5)
    assert "<" not in "".join(re.findall(r"^[HD]-\d+\t\S+\t(.*)$", raw, re.MULTILINE))
    assert re.search(r"^H-\d+\t-\S+\t\S", raw, re.MULTILINE) or all(not text for text in best(raw).values())


def test_it_warns_of_it_in_one_sentence(made: Corpus, degenerate: Model, tmp_path: Path) -> None:
    warnings = [line for line in degenerate.training.output.splitlines() if line.startswith("WARNING | nat_plugin")]
    assert len(warnings) == 1
    assert "known to degenerate, because AXE may hold each prediction against the target" in warnings[0]
    flags = ["--criterion", "axe", "--expect-degeneration", "--max-update", 1, "--disable-validation"]
    quiet = run("fairseq-train", *training(made.data, tmp_path, *flags)).checked()
    assert "WARNING | nat_plugin" not in quiet.output


def test_data_without_blank_are_refused_with_the_remedy(made: Corpus, tmp_path: Path) -> None:
    message = run("fairseq-train", *training(made.plain, tmp_path, "--criterion", "causal_axe")).refusal()
    assert "--criterion causal_axe needs <blank> in the target dictionary: binarise with scripts/prepare.py" in message


def test_two_processes_are_one(made: Corpus, tmp_path: Path) -> None:
    flags = [*CUT, "--criterion", "ctc_ar", "--disable-validation"]
    running = [start("fairseq-train", *training(made.data, tmp_path / "one", "--batch-size", 32, *flags))]
    both = ["--distributed-world-size", 2, "--distributed-backend", "gloo", "--ddp-backend", "legacy_ddp"]
    both += ["--distributed-init-method", f"tcp://127.0.0.1:{free_port()}", "--distributed-no-spawn", "--device-id", 0]
    for rank in range(2):
        words = training(made.data, tmp_path / "two", "--batch-size", 16, *flags, *both, "--distributed-rank", rank)
        running.append(start("fairseq-train", *words))
    for process in running:
        process.wait().checked()
    assert largest_difference(tmp_path / "one", tmp_path / "two") < 2e-5
