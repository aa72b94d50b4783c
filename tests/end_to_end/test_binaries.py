"""The installed commands themselves, once each, from another working directory, with a plugin that is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.lib import fairseq_configs
from tests.end_to_end.commands import Result, run_binary
from tests.end_to_end.conftest import Corpus, Model
from tests.end_to_end.corpus import SOURCE, TARGET, TEST_COUNTS, write_corpus
from tests.end_to_end.settings import ON_CPU, TASK, generate, generating, hypotheses, training

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def plugin(checkout: Path) -> list[object]:
    """The flag that names the copy."""
    return ["--user-dir", checkout]


def elsewhere(folder: Path, command: str, *arguments: object, stdin: bytes = b"") -> Result:
    working = folder / "elsewhere"
    working.mkdir(exist_ok=True)
    return run_binary(command, *arguments, folder=working, stdin=stdin)


def test_preprocess_and_train(made: Corpus, plugin: list[object], checkout: Path, tmp_path: Path) -> None:
    arguments = [*write_corpus(tmp_path / "text"), "--joined-dictionary", "--task", "nat_translation"]
    elsewhere(tmp_path, "fairseq-preprocess", *arguments, *plugin, "--destdir", tmp_path / "data").checked()
    for name in (f"dict.{SOURCE}.txt", f"test.{SOURCE}-{TARGET}.{TARGET}.bin"):
        assert (tmp_path / "data" / name).read_bytes() == (made.data / name).read_bytes()
    flags = training(tmp_path / "data", tmp_path / "run", "--criterion", "nat_axe", "--max-update", 2, *plugin)
    trained = elsewhere(tmp_path, "fairseq-train", *flags).checked()
    assert "task: NatTranslationTask" in trained.output
    assert "| valid | epoch 001" in trained.output
    assert list(checkout.rglob("nat_translation*.pyc")), "another copy of the plugin was loaded"


def test_generate_and_interactive(made: Corpus, model: Model, plugin: list[object], tmp_path: Path) -> None:
    generated = elsewhere(tmp_path, "fairseq-generate", *generating(made.data, model.checkpoint), *plugin).checked()
    expected = hypotheses(generate(made.data, model.checkpoint).checked().output)
    assert hypotheses(generated.output) == expected
    text = (made.text / f"test.{SOURCE}").read_bytes()
    flags = [made.data, *TASK, "--path", model.checkpoint, "--cpu", "--buffer-size", 64, "--batch-size", 32, *plugin]
    spoken = elsewhere(tmp_path, "fairseq-interactive", *flags, stdin=text).checked()
    assert hypotheses(spoken.output) == expected
    assert len(expected) == TEST_COUNTS[0]


def test_validate(made: Corpus, model: Model, plugin: list[object], tmp_path: Path) -> None:
    flags = ["--task", "nat_translation", "--path", model.checkpoint, "--max-tokens", 400, *ON_CPU, *plugin]
    assert (
        "| valid on 'valid' subset | loss"
        in elsewhere(tmp_path, "fairseq-validate", made.data, *flags).checked().output
    )


def test_hydra_train(made: Corpus, checkout: Path, tmp_path: Path) -> None:
    """In the folder of the plugin, which the committed files name by a relative path."""
    sizes = [f"model.{side}_{key}=16" for side in ("encoder", "decoder") for key in ("embed_dim", "ffn_embed_dim")]
    sizes += [f"model.{side}_layers=1" for side in ("encoder", "decoder")]
    limits = ["common.cpu=true", "optimization.max_update=1", "optimization.update_freq=[1]", "dataset.num_workers=0"]
    before = sorted(checkout.parent.iterdir())
    run_binary(
        "fairseq-hydra-train",
        *("--config-dir", fairseq_configs.FOLDER, "--config-name", "cmlm_axe"),
        *(f"task.data={made.data}", f"checkpoint.save_dir={tmp_path / 'run'}", *limits, *sizes),
        folder=checkout.parent,
    ).checked()
    assert (tmp_path / "run" / "checkpoint_last.pt").is_file()
    assert sorted(checkout.parent.iterdir()) == before


def test_mistakes_end_in_one_sentence(made: Corpus, model: Model, plugin: list[object], tmp_path: Path) -> None:
    flags = [made.data, "--task", "nat_translation", "--arch", "transformer", "--criterion", "nat_axe", *ON_CPU]
    message = elsewhere(tmp_path, "fairseq-train", *flags, "--max-tokens", 100, *plugin).refusal()
    assert "--arch transformer is none of ours" in message
    flags = [made.data, *TASK, "--path", model.checkpoint, "--cpu", *plugin]
    message = elsewhere(tmp_path, "fairseq-interactive", *flags, stdin=b"s1\ns2 \xff\n").refusal()
    assert "line 2 of standard input is not valid UTF-8" in message
